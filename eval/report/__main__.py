"""`python -m eval.report`."""

from .build import main

main()
