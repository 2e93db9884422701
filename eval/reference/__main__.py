"""`python -m eval.reference`."""

from .draw import main

main()
