"""`python -m eval.theory`."""

from .experiment import main

main()
