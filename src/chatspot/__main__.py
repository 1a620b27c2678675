"""``python -m chatspot``: the same as the command ``chatspot``."""

from chatspot.cli import main

main()
