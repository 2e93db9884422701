"""Distances of a folder's views to a reference set, over the prompts that both have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ..distances.kernels import prompt_mmd2
from ..distances.paired import MEASURES, OF_PROMPTS, intervals
from ..reference.origin import UNKNOWN, check_origin, open_features, read_origin
from ..statistics.intervals import SMALLEST_SAMPLE as FEW
from ..views.remarks import Notes, shorten
from .asset import Metrics
from .scorers import Scorers

SUMMARY = ["metric", "mean", "low", "high", "prompts"]
Features = dict[tuple[str, str], Metrics]  # (prompt, seed) -> feature space -> array


def check_reference(path: Path, scorers: Scorers, notes: Notes) -> None:
    """ValueError if the reference is of other prompts, texts or weights; a note if it does not say."""
    prompts, names = scorers.prompts, {name for _, name in read_features(path)}
    with open_features(path) as stored:
        origin = read_origin(stored, path)
    check_origin(origin, path, dict(zip(prompts.ids, prompts.texts, strict=True)), scorers.protocol.weights)
    if not names & set(prompts.ids):
        raise ValueError(
            f"{path} has features of {shorten(sorted(names)) or 'nothing'}, and of none of these prompts "
            f"({shorten(prompts.ids)}); expected features.npz of eval.reference"
        )
    if not origin:
        notes[f"of the reference {path}: {UNKNOWN}"] = []


def prompt_distances(features: Features, reference: Path) -> pd.DataFrame:
    """Distance of every asset to the reference images of its prompt, as rows of scores."""
    rows, theirs = [], read_features(reference)
    for (name, seed), arrays in features.items():
        for metric, (space, kernel) in OF_PROMPTS.items():
            if space in arrays and (space, name) in theirs:
                check_width(reference, space, [arrays[space], theirs[space, name]])
                (value,) = prompt_mmd2(kernel, [arrays[space]], theirs[space, name])
                rows.append((name, seed, 0, metric, value))
    return pd.DataFrame(rows, columns=["prompt", "seed", "view", "metric", "value"])


def check_width(reference: Path, space: str, arrays: list[np.ndarray]) -> None:
    if len({array.shape[1] for array in arrays}) > 1:
        raise ValueError(f"{reference} is another scorer's: its {space} features are of another width")


def summarize_distances(features: Features, reference: Path, ids: list[str], notes: Notes) -> pd.DataFrame:
    """FID, KID and CMMD against a reference set, over the prompts of both: SUMMARY's columns and reason."""
    parts = [pd.DataFrame(columns=SUMMARY)]
    mine, theirs = pool_seeds(features), read_features(reference)
    spaces, known = ({space for space, _ in side} for side in (mine, theirs))
    for space in sorted(spaces ^ known):
        owner = "these scores have" if space in spaces else "the reference has"
        notes[f"no distances in {space}: only {owner} features of it"] = []
    for metric, (space, _) in MEASURES.items():
        if space not in spaces & known:
            continue
        scored = [name for name in ids if (space, name) in mine]
        both = [n for n in scored if len(mine[space, n]) > 1 and len(theirs.get((space, n), [])) > 1]
        check_width(reference, space, [side[space, n] for n in both for side in (mine, theirs)])
        if lacking := [name for name in scored if name not in both]:
            notes[f"distances are without prompts that lack two pictures on a side: {shorten(lacking)}"] = []
        if len(both) < 2:
            notes[f"no distances: they need two prompts ({FEW} for an interval), there are {len(both)}"] = []
            continue
        ours, others = ([side[space, n] for n in both] for side in (mine, theirs))
        found = intervals(metric, {"folder": ours}, others)
        if found["low"].isna().all() and not found["reason"].any():
            notes[f"no interval of distances: they need {FEW} prompts, there are {len(both)}"] = []
        parts.append(found.rename(columns={"n": "prompts"})[[*SUMMARY, "reason"]])
    return pd.concat(parts, ignore_index=True)


def read_features(path: Path) -> dict[tuple[str, str], np.ndarray]:
    """(space, prompt) -> features (n, D) of a reference; ValueError where they are none."""
    found: dict[tuple[str, str], np.ndarray] = {}
    with open_features(path) as stored:
        for key in (key for key in stored.files if "/" in key):
            space, name = key.split("/", 1)
            found[space, name] = array = stored[key]
            if array.ndim != 2 or not np.isfinite(array).all():
                raise ValueError(f"{path}: {key} is no array (n, D) of finite features")
    return found


def pool_seeds(features: Features) -> dict[tuple[str, str], np.ndarray]:
    """(space, prompt) -> features of all seeds (n, D)."""
    found: dict[tuple[str, str], list[np.ndarray]] = {}
    for (name, _), spaces in features.items():
        for space, array in spaces.items():
            found.setdefault((space, name), []).append(array)
    return {key: np.concatenate(arrays) for key, arrays in found.items()}
