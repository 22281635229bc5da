"""A day of the platform under a clock that the test moves: thousands of arrivals, outages, killed processes.

`make simulated-day` runs it and says which of its claims hold. Sensors, conditions, runs, emulators, landing, Iceberg,
dbt and Dagit are the real ones; only the daemon's loop is the driver's, so that each moment can be looked at.
"""
