"""`python -m eval.views`."""

from eval.views.render import main

main()
