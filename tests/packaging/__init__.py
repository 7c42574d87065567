"""The distribution: what is built, and whether it works where only it is installed."""
