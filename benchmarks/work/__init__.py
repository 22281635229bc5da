"""The work of the comparisons: web events from JSON lines to gold, by the platform and by what a user would pick."""
