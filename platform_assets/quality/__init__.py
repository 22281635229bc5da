"""What is watched about the content of tables: volume, columns, agreement with others. It warns; a contract blocks."""
