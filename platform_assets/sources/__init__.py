"""What arrives: a source is a folder with a `source.yaml` and a JSON Schema. Adding one touches no Python (S1-04)."""
