"""Scripts, each run by itself."""
