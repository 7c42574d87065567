"""The command line, over real HTTP and in real processes."""
