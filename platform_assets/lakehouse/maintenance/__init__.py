"""What keeps tables quick and small: one module per job, each of which leaves every row and every reader as they were.

Who runs them, over which tables, is in `work`. Nothing here publishes rows: that is `lakehouse.publisher`.
"""
