"""`python -m eval.views`."""

from segmentdreamer.recipe.attempts import planned

from .render import main

planned(main)
