"""Distances of a run's methods to the reference, from stored features: of a method, and of each asset."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from ..distances.kernels import prompt_mmd2
from ..distances.paired import MEASURES, OF_PROMPTS, PAIRED, differences, intervals
from ..metrics import EXCHANGED, columns, control_kind
from ..run import SCORES, Run, read_array, read_features, read_reference

Features = dict[str, list[np.ndarray]]
OTHERS = "these are other prompts' assets: nothing is paired, and no prompt can be left out of both sides"


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
        if features and reference:
            yield metric, features, reference


def measure_distances(run: Run, methods: list[str], prompts: list[str], floor: str = "") -> pd.DataFrame:
    """Columns method, metric, mean, low, high, n, reason: distances with intervals, or why there is none."""
    spaces = read_spaces(run, methods, prompts, floor)
    parts = [withhold(intervals(metric, mine, reference), metric) for metric, mine, reference in spaces]
    names = ["method", "metric", "mean", "low", "high", "n", "reason"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=names)


def withhold(found: pd.DataFrame, metric: str) -> pd.DataFrame:
    """`found` of intervals(), less what means nothing of a control that shows assets under other prompts."""
    exchanged = found["method"].map(control_kind).isin(EXCHANGED)
    void = ["mean", "low", "high"] if metric in PAIRED else ["low", "high"]
    found.loc[exchanged, void] = np.nan
    found.loc[exchanged, "reason"] = OTHERS
    return found


def distance_differences(run: Run, methods: list[str], prompts: list[str]) -> pd.DataFrame:
    """Columns method, against, metric, difference, error, n: later minus earlier, where both have a value."""
    parts = []
    for metric, features, reference in read_spaces(run, methods, prompts):
        values = intervals(metric, features, reference).set_index("method")["mean"]
        order = [m for m in methods if m in features and not np.isnan(values[m])]
        for number, against in enumerate(order[:-1]):
            chosen = {m: features[m] for m in order[number:]}
            parts.append(differences(metric, chosen, reference, against).assign(against=against))
    names = ["method", "against", "metric", "difference", "error", "n"]
    return pd.concat(parts, ignore_index=True)[names] if parts else pd.DataFrame(columns=names)


def prompt_distances(run: Run) -> pd.DataFrame:
    """The distance of every asset that succeeded to the reference images of its prompt: columns of SCORES."""
    rows = []
    for prompt, assets in run.assets[run.assets["status"] == "ok"].groupby("prompt", sort=False):
        for metric, (space, kernel) in OF_PROMPTS.items():
            images = read_reference(run.results, space, [str(prompt)], run.texts, run.weights)
            known = {}
            for method, seed in zip(assets["method"], assets["seed"], strict=True):
                array = read_array(run.results, method, str(prompt), seed, space)
                if array is not None:
                    known[method, prompt, seed, 0, metric] = array
            if known and images is not None:
                values = prompt_mmd2(kernel, list(known.values()), images[0])
                rows += [(*key, value) for key, value in zip(known, values, strict=True)]
    return pd.DataFrame(rows, columns=SCORES)
