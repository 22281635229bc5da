"""Spark, on this machine alone."""
