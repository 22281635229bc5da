"""A Dagster asset-graph data platform: every table is an asset with a contract and a freshness promise."""

import gc

# Importing makes some hundred thousand objects of which none is garbage: looked at after every 700, the default, they
# take a tenth longer. What Dagster makes of the graph is as large, and lives as long as the process.
gc.set_threshold(100_000, 10, 10)
