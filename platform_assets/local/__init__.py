"""Stand-ins for the cloud on one machine, and simulated sources. Production runs without this package."""
