"""SQLMesh on DuckDB."""
