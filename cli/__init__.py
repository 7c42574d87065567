"""The offbook command."""
