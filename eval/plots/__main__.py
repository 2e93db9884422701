"""`python -m eval.plots`."""

from eval.plots.ablation import main

main()
