"""`python -m eval.tables`."""

from .table1 import main

main()
