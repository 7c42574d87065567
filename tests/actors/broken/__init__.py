"""Modules that a worker imports with `--import` to have something in it broken."""
