"""A Dagster asset-graph data platform: every table is an asset with a contract and a freshness promise."""
