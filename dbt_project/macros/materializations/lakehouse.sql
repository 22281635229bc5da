{#
  Publishes a model as an Iceberg table (I1). The rows are computed once into a table of the connection's own database,
  committed so that the plugin's cursor sees it, then staged, audited and published by `Plugin.store`, which points the
  model's views at the new snapshot. A broken contract raises there: this node fails and what reads it is skipped.
#}
{% materialization lakehouse, adapter="duckdb" %}
  {%- set computed = this.incorporate(path={"identifier": this.identifier ~ "__computed"}, type="table") -%}

  {{ run_hooks(pre_hooks) }}
  {% call statement("main") -%}
    create or replace table {{ computed }} as (
      {{ compiled_code }}
    )
  {%- endcall %}
  {{ adapter.commit() }}
  {%- set rows = run_query("select count(*) from " ~ computed)[0][0] -%}

  {%- set columns = adapter.get_columns_in_relation(computed) -%}
  {% do adapter.store_relation("lakehouse", this, columns, computed | string, "table", {"compiled": compiled_code}) %}
  {% call statement("drop_computed", auto_begin=False) -%}
    drop table {{ computed }}
  {%- endcall %}
  {{ run_hooks(post_hooks) }}

  {%- call noop_statement("main", "OK " ~ rows, "OK", rows) -%}
    {{ compiled_code }}
  {%- endcall -%}
  {{ return({"relations": [this.incorporate(type="view")]}) }}
{% endmaterialization %}
