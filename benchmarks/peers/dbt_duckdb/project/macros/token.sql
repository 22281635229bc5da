{# HMAC-SHA256 in hexadecimal; null stays null. #}
{% macro token(column) -%}
    sha256(unhex('{{ var("outer_pad") }}') || unhex(sha256(unhex('{{ var("inner_pad") }}') || encode({{ column }}))))
{%- endmacro %}
