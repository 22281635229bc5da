"""Tests of how a run gets its process."""
