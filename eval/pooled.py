"""Distances of a run's methods to the reference, from stored features: what has no value on one prompt."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from eval.collection import Run, read_features, read_reference
from eval.columns import columns
from eval.distances import MEASURES, compare, intervals

Features = dict[str, list[np.ndarray]]


def read_spaces(
    run: Run, methods: list[str], prompts: list[str], floor: str = ""
) -> Iterator[tuple[str, Features, list[np.ndarray]]]:
    """For each pooled metric that the run has features for: its name, the methods' and the reference's.

    floor: the control whose features stand for those of failed assets (default: they are left out).
    """
    cache: dict[str, tuple[Features, list[np.ndarray] | None]] = {}
    for metric in (name for name, spec in columns().items() if spec.get("pooled")):
        space, _ = MEASURES[metric]
        if space not in cache:
            found = {m: read_features(run, m, space, prompts, floor) for m in methods}
            kept = {m: features for m, features in found.items() if features is not None}
            cache[space] = kept, read_reference(run.results, space, prompts, run.texts, run.weights)
        features, reference = cache[space]
        if features and reference is not None:
            yield metric, features, reference


def measure_distances(run: Run, methods: list[str], prompts: list[str], floor: str = "") -> pd.DataFrame:
    """Columns method, metric, mean, low, high, n: distance and 95 % interval (t on the jackknife's error)."""
    parts = [intervals(*measured) for measured in read_spaces(run, methods, prompts, floor)]
    names = ["method", "metric", "mean", "low", "high", "n"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=names)


def distance_differences(run: Run, methods: list[str], prompts: list[str]) -> pd.DataFrame:
    """Columns method, against, metric, difference, error, n, for every pair (later minus earlier)."""
    parts = []
    for metric, features, reference in read_spaces(run, methods, prompts):
        order = [m for m in methods if m in features]
        for number, against in enumerate(order[:-1]):
            chosen = {m: features[m] for m in order[number:]}
            found = compare(metric, chosen, reference, against)
            parts.append(
                found[["method", "metric", "difference"]].assign(
                    against=against, error=found["se"], n=len(prompts)
                )
            )
    names = ["method", "against", "metric", "difference", "error", "n"]
    return pd.concat(parts, ignore_index=True)[names] if parts else pd.DataFrame(columns=names)
