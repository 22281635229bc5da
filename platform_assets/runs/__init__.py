"""How a run gets its process: forked, within milliseconds, from one that has imported everything and loaded the graph.

Nothing here knows what a run does; Dagster finds the launcher by the name in `dagster.yaml`.
"""
