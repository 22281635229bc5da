"""dlt, into Iceberg tables in a folder."""
