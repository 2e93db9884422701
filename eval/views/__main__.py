"""`python -m eval.views`."""

from .render import main

main()
