"""`python -m segmentdreamer.benchmark`: what a step takes (segmentdreamer.timing.step)."""

from segmentdreamer.timing.step import main

if __name__ == "__main__":
    main()
