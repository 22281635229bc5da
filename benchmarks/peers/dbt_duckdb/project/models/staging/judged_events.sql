-- Every bronze row with its types, and the rules that it breaks.
{{ var('judged_bronze') }}
