"""Maintenance changes no row, breaks no reader and no publisher, and is no change to anybody."""
