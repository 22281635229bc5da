{# A model's schema is its layer, without the target's schema before it: gold.fact_orders. #}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ custom_schema_name or target.schema }}
{%- endmacro %}
