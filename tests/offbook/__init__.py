"""The package itself: what it offers by name."""
