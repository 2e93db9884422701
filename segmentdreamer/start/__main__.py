"""`python -m segmentdreamer.start`."""

from segmentdreamer.start.shapes import main

main()
