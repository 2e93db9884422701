#!/usr/bin/env python3
"""Whether a smoke run found the values that were committed, within what other processors change.

python tests/smoke/compare.py RUN/tables/per_prompt.csv [--write]

Four steps leave little room for rounding to grow: 5 % of a value, and for shares of eight views one view.
Costs are not compared. --write commits a run's values as the expected ones.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

EXPECTED = Path(__file__).parents[1] / "data/smoke_per_prompt.csv"
COSTS = ("seconds", "cpu_seconds", "alone", "peak_memory")
OF_VIEWS = ("clip_r", "janus", "judge", "touches_border")  # shares of views begin so
KEY = ["method", "prompt", "metric"]


def differences(found: pd.DataFrame, expected: pd.DataFrame) -> list[str]:
    """One line for each value that is missing, new, or too far off."""
    one, other = (t[~t["metric"].isin(COSTS)].set_index(KEY)["value"] for t in (found, expected))
    apart = [f"only in one: {' '.join(key)}" for key in sorted({*one.index} ^ {*other.index})]
    both = pd.DataFrame({"found": one, "expected": other}).dropna()
    of_views = both.index.get_level_values("metric").str.startswith(OF_VIEWS)
    allowed = np.where(of_views, 0.13, 1e-3 + 0.05 * both["expected"].abs())
    far = both[(both["found"] - both["expected"]).abs() > allowed]
    return apart + [f"{' '.join(key)}: {row.found:g}, not {row.expected:g}" for key, row in far.iterrows()]


def main() -> int:
    found = pd.read_csv(sys.argv[1])
    if "--write" in sys.argv:
        found[~found["metric"].isin(COSTS)].to_csv(EXPECTED, index=False)
        return 0
    apart = differences(found, pd.read_csv(EXPECTED))
    print(*apart or [f"{len(found)} values as expected"], sep="\n")
    return 1 if apart else 0


if __name__ == "__main__":
    sys.exit(main())
