"""Node types: what a step of a workflow can be, and what it is given to work with."""
