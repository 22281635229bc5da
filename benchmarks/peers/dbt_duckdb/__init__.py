"""dbt with its adapter for DuckDB."""
