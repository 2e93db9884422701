"""`python -m eval.views`."""

from segmentdreamer.recipe.attempts import restarting

from .render import main

restarting(main)
