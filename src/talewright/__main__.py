"""`python -m talewright`."""

from talewright.cli import main

main()
