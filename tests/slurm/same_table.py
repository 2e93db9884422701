#!/usr/bin/env python3
"""Whether two runs found the same Table 1; what they cost in time may differ.

python tests/slurm/same_table.py ONE.csv OTHER.csv
"""

from __future__ import annotations

import sys

import pandas as pd

COST = ("seconds", "cpu_seconds", "alone")  # columns of what a run took on its machine begin so


def differences(one: pd.DataFrame, other: pd.DataFrame) -> list[str]:
    """Columns whose values differ, or all that one table alone has."""
    kept = [name for name in one if not name.startswith(COST)]
    if list(one) != list(other) or len(one) != len(other):
        return ["the tables have different rows or columns"]
    return [name for name in kept if not one[name].equals(other[name])]


def main() -> int:
    one, other = (pd.read_csv(path) for path in sys.argv[1:3])
    found = differences(one, other)
    print(f"the tables differ in {', '.join(found)}" if found else f"the same table: {len(one)} rows")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
