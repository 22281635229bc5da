"""What a table promises: one contract per table, compiled to every engine that must hold it (I5)."""
