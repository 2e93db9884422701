"""`python -m eval.study`."""

from eval.study.commands import main

main()
