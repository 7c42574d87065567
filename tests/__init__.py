"""Offbook's tests; folders mirror the source."""
