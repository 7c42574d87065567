"""`python -m offbook.cli`: the `offbook` command where it is not installed."""

from offbook.cli.main import main

main()
