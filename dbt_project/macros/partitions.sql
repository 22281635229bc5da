{#
  The run's partition. Embedded, it is the variable `platform_partition` of the connection, set by the plugin from
  PLATFORM_PARTITION: handed over as a dbt var it would make dbt parse the whole project again. On BigQuery it is the
  dbt var `partition`. A run without a partition reads and writes all of them.
#}

{# SQL condition: the row belongs to the run's partition, if it has one. #}
{% macro partition_filter(column) -%}
    {{ return(adapter.dispatch('partition_filter')(column)) }}
{%- endmacro %}

{% macro default__partition_filter(column) -%}
    {%- if var('partition', none) -%}
        {{ column }} = date '{{ var('partition') }}'
    {%- else -%}
        {{ column }} is not null
    {%- endif -%}
{%- endmacro %}

{% macro duckdb__partition_filter(column) -%}
    ({{ column }} = getvariable('platform_partition') or getvariable('platform_partition') is null)
{%- endmacro %}

{# The rows of a table that belong to the run's partition, to stand after FROM. Embedded, only their files are opened. #}
{% macro partition_of(relation, column) -%}
    {{ return(adapter.dispatch('partition_of')(relation, column)) }}
{%- endmacro %}

{% macro default__partition_of(relation, column) -%}
    (select * from {{ relation }} where {{ partition_filter(column) }})
{%- endmacro %}

{% macro duckdb__partition_of(relation, column) -%}
    {{ relation.incorporate(path={'schema': relation.schema ~ '_partition'}) }}
{%- endmacro %}
