{# The tests by which a model's YAML promises what no test of dbt's own says; the platform compiles them too. #}

{% test in_range(model, column_name, min=none, max=none) %}
    select {{ column_name }}
    from {{ model }}
    where false
    {%- if min is not none %} or {{ column_name }} < {{ min }}{% endif %}
    {%- if max is not none %} or {{ column_name }} > {{ max }}{% endif %}
{% endtest %}

{% test matches(model, column_name, pattern) %}
    select {{ column_name }}
    from {{ model }}
    where not {{ adapter.dispatch('matches_pattern')(column_name, pattern) }}
{% endtest %}

{% macro default__matches_pattern(column, pattern) -%}
    regexp_matches({{ column }}, '{{ pattern }}')
{%- endmacro %}

{% macro bigquery__matches_pattern(column, pattern) -%}
    regexp_contains({{ column }}, r'{{ pattern }}')
{%- endmacro %}
