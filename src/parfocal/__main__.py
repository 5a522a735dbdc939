"""`python -m parfocal` is the command `parfocal`."""

from parfocal.cli import main

main()
