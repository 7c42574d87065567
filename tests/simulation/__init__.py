"""The simulator: the real engine on a deterministic loop, with faults at every effect, and an auditor."""
