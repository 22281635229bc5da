"""Macros of the models."""
