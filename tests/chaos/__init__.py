"""The worker as a real process that is killed, and everything that may be wrong with what it left."""
