"""`python -m eval.claims`."""

from eval.claims.decision import main

main()
