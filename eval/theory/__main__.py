"""`python -m eval.theory`."""

from eval.theory.experiment import main

main()
