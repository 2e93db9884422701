"""`python -m eval.plots`."""

from .ablation import main

main()
