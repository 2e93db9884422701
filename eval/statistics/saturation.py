"""Columns that cannot tell methods apart in this world, by the rule that metrics.yaml states."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from ..metrics import columns

START, TRUTH = "start", "truth"  # the controls between whose means a metric has room
EDGE = 0.1  # share of that room, from either end


def saturated_metrics(
    means: Mapping[str, Mapping[str, float]], methods: list[str], constant: set[str]
) -> dict[str, str]:
    """metric -> why it is saturated. means: metric -> method or control -> mean; constant: see pairs.py."""
    found = {}
    for metric, of in means.items():
        if metric in constant:
            found[metric] = "equal for all methods on every prompt"
        elif name := edge(metric, [of[m] for m in methods if m in of], of.get(START), of.get(TRUTH)):
            found[metric] = f"all methods within {EDGE:.0%} of the way from the {name}"
    return found


def edge(metric: str, values: list[float], start: float | None, truth: float | None) -> str:
    """The end, of start and true scene, that all values lie near or beyond; nothing if there is none."""
    if start is None or truth is None:
        return ""
    room = {"up": truth - start, "down": start - truth}.get(columns()[metric].get("better", ""))
    if room is None or not room > 0:
        return ""
    shares = (pd.Series(values, dtype=float).dropna() - start) / (truth - start)
    if shares.empty:
        return ""
    return "true scene" if shares.min() >= 1 - EDGE else "start" if shares.max() <= EDGE else ""
