"""`python -m eval.claims`."""

from .decision import main

main()
