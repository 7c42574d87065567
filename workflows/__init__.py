"""What a workflow is and how a run of it changes: pure code, no I/O, no clock, no randomness."""
