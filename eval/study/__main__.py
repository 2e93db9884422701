"""`python -m eval.study`."""

from .commands import main

main()
