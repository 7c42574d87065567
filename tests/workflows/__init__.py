"""The pure layer: documents, plans, runs."""
