"""The running system: one actor per execution, a supervisor, persistence, the node runner."""
