{# What DuckDB and BigQuery say differently. #}

{# An exact amount with two decimals. #}
{% macro money(expression) -%}
    {{ return(adapter.dispatch('money')(expression)) }}
{%- endmacro %}

{% macro default__money(expression) -%}
    cast({{ expression }} as decimal(18, 2))
{%- endmacro %}

{# BigQuery's numeric carries nine decimals. #}
{% macro bigquery__money(expression) -%}
    round(cast({{ expression }} as numeric), 2)
{%- endmacro %}

{# How many elements a JSON array has that is kept as text. #}
{% macro json_text_array_length(column) -%}
    {{ return(adapter.dispatch('json_text_array_length')(column)) }}
{%- endmacro %}

{% macro default__json_text_array_length(column) -%}
    cast(json_array_length({{ column }}) as bigint)
{%- endmacro %}

{% macro bigquery__json_text_array_length(column) -%}
    array_length(json_extract_array({{ column }}))
{%- endmacro %}
