"""The transitions of a run, in parts: functions that change a RunState by a message and say what is to be done."""
