"""`python -m eval.reference`."""

from eval.reference.draw import main

main()
