"""Distances of a folder's views to a reference set, over the prompts that both have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from eval.distances import MEASURES, OF_PROMPTS, intervals
from eval.mmd import prompt_mmd2
from eval.origin import UNKNOWN, check_origin, open_features, read_origin
from eval.remarks import Notes, shorten
from eval.scorers import Metrics, PromptTexts, Scorers

SUMMARY = ["metric", "mean", "low", "high", "prompts"]
Features = dict[tuple[str, str], Metrics]  # (prompt, seed) -> feature space -> array


def check_reference(path: Path, prompts: PromptTexts, scorers: Scorers, notes: Notes) -> None:
    """ValueError if the reference is of other prompts, texts or weights; a note if it does not say."""
    with open_features(path) as stored:
        origin, names = read_origin(stored), {name.split("/", 1)[-1] for name in stored.files if "/" in name}
    check_origin(origin, path, dict(zip(prompts.ids, prompts.texts, strict=True)), scorers.protocol.weights)
    if not names & set(prompts.ids):
        raise ValueError(
            f"{path} has features of {shorten(sorted(names)) or 'nothing'}, and of none of these prompts "
            f"({shorten(prompts.ids)}); expected features.npz of eval.reference"
        )
    if not origin:
        notes[f"of the reference {path}: {UNKNOWN}"] = []


def summarize_distances(features: Features, reference: Path, ids: list[str], notes: Notes) -> pd.DataFrame:
    """FID, KID and CMMD against a reference set, over the prompts of both: SUMMARY's columns and reason."""
    parts = [pd.DataFrame(columns=SUMMARY)]
    with open_features(reference) as stored:
        theirs = {name: stored[name] for name in stored.files if "/" in name}
    mine = pool_seeds(features)
    for metric, (space, _) in MEASURES.items():
        both = [name for name in ids if f"{space}/{name}" in theirs and (space, name) in mine]
        blocks = {name: (mine[space, name], theirs[f"{space}/{name}"]) for name in both}
        widths = {array.shape[1] for pair in blocks.values() for array in pair}
        if len(widths) > 1:
            raise ValueError(f"{reference} is another scorer's: its {space} features are of another width")
        lacking = [name for name in ids if (space, name) in mine and name not in both]
        if both and lacking:
            notes[f"distances are without prompts that the reference lacks: {shorten(lacking)}"] = []
        if len(both) == 1:
            notes["no distances: they need two prompts, three for an interval, and there is 1"] = []
        if len(both) < 2:
            continue
        ours, others = zip(*blocks.values(), strict=True)
        found = intervals(metric, {"folder": ours}, others)
        if found["low"].isna().all():
            notes[f"no interval of distances: {len(both)} prompts are too few"] = []
        parts.append(found.rename(columns={"n": "prompts"})[[*SUMMARY, "reason"]])
    return pd.concat(parts, ignore_index=True)


def prompt_distances(features: Features, reference: Path) -> pd.DataFrame:
    """Distance of every asset to the reference images of its prompt, as rows of scores."""
    rows = []
    with open_features(reference) as stored:
        for (name, seed), arrays in features.items():
            for metric, (space, kernel) in OF_PROMPTS.items():
                if space in arrays and f"{space}/{name}" in stored:
                    (value,) = prompt_mmd2(kernel, [arrays[space]], stored[f"{space}/{name}"])
                    rows.append((name, seed, 0, metric, value))
    return pd.DataFrame(rows, columns=["prompt", "seed", "view", "metric", "value"])


def pool_seeds(features: Features) -> dict[tuple[str, str], np.ndarray]:
    """(space, prompt) -> features of all seeds (n, D)."""
    found: dict[tuple[str, str], list[np.ndarray]] = {}
    for (name, _), spaces in features.items():
        for space, array in spaces.items():
            found.setdefault((space, name), []).append(array)
    return {key: np.concatenate(arrays) for key, arrays in found.items()}
