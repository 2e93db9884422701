"""`python -m eval.tables`."""

from eval.tables.table1 import main

main()
