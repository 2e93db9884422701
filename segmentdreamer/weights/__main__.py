"""`python -m segmentdreamer.weights`."""

from segmentdreamer.weights.commands import main

main()
