"""Documents: what they say is true."""
