"""Example workflows, and the functions that their `python` nodes call: `--import offbook.examples.bookbinding`."""
