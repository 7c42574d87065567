"""Measurements; each module prints its figure as JSON."""
