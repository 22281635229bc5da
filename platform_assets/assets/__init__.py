"""One asset per table: thin functions over `ingestion` and `lakehouse`. No logic lives here."""
