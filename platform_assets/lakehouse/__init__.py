"""Where tables live: the Iceberg catalog, how they are read, and the one way in which they are published (I1)."""
