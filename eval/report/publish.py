"""`segmentdreamer publish`."""

from .build import publishing as main

if __name__ == "__main__":
    main()
