"""When the Janus index may be read: what its gates keep and refuse, on looks that did not choose them.

Its gates (janus.withhold) are chosen on one half of the planted objects, and judged on the other half
and on finished assets, whose true scene tells whether they have a second face.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from eval.scores.consistency import gate
from eval.scores.janus import FIRST, LEAST
from toybox.defects import DEFECTS, STRENGTHS
from toybox.looks import SPARSER, Values, halves, scale
from toybox.scenes import Spec, all_specs

ABOVE = 0.2  # an index that says: a second face
CLEAN = ("true", "worn")
SPECKLED = tuple(f"speckled {strength}" for strength in STRENGTHS)
CHOSEN = (
    "consistency: the largest multiple of .001 that 95 % of the choosing objects' clean scenes (true, worn) "
    "reach; clip, of this scorer alone: midway between clearly over-exposed scenes (60) and the least that "
    "finished assets reach (78); first: half of the views, whatever the scorer"
)


def find_assets(folders: list[Path]) -> list[tuple[Path, Spec, bool]]:
    """Every asset.ply below the folders that is of a toybox's prompt, its scene, and whether a second face
    was asked for: its prompt's third view word was the first. Raises ValueError if there is none.
    """
    specs, found = {spec.caption(): spec for spec in all_specs()}, []
    for asset in sorted(path for folder in folders for path in folder.rglob("asset.ply")):
        path = asset.with_name("provenance.json")
        record: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {"prompt": "?"}
        if record["prompt"] in specs:
            front, _, behind, _ = record["config"]["prompts"]["views"]
            found.append((asset, specs[record["prompt"]], front == behind))
        else:
            print(f"{asset}: left out, no toy is called {record['prompt']!r}", file=sys.stderr)
    if not found:
        raise ValueError(f"no asset of a toy below {', '.join(map(str, folders))}")
    return found


def judge(looks: list[Values]) -> dict[str, Any]:
    """How many looks, how many with an index above .2, how many keep theirs, how many of these above .2."""
    index, kept = indices(looks), np.array([not values["janus_withheld"] for values in looks])
    return {
        "count": len(looks),
        "above": int((index > ABOVE).sum()),
        "kept": int(kept.sum()),
        "kept_above": int((index[kept] > ABOVE).sum()),
    }


def indices(looks: list[Values]) -> np.ndarray:
    return np.array([values["janus_index"] for values in looks])


def wins(sick: np.ndarray, healthy: np.ndarray) -> np.ndarray:
    """Of object i's sick look over object j's healthy ones, (m, n): share of wins, ties half.

    sick: (m,), healthy: (n, h), larger is worse. The mean over all i and j is the ROC AUC.
    """
    margin = sick[:, None, None] - healthy[None]
    return ((margin > 0) + 0.5 * (margin == 0)).mean(-1)


def area(sick: list[Values], healthy: list[Values]) -> dict[str, float]:
    """ROC AUC of the index for sick against healthy looks, without the gates and with them."""
    found = {}
    for name, gated in (("without", False), ("with", True)):
        one, other = (
            indices([values for values in looks if not (gated and values["janus_withheld"])])
            for looks in (sick, healthy)
        )
        found[name] = float(wins(one, other[:, None]).mean()) if len(one) and len(other) else float("nan")
    return found


def summarize(measured: list[dict[str, Values]], assets: list[tuple[Values, bool]]) -> dict[str, Any]:
    """The gates and their judgment, from each object's looks and assets (a second face asked for?)."""
    name, count = scale()["clip"]["name"], scale()["views"]["count"]
    choosing = [values[look] for i, values in enumerate(measured) if halves(i)[0] for look in CLEAN]
    judging = [values for i, values in enumerate(measured) if not halves(i)[0]]
    groups = {
        "clean": [values[look] for values in judging for look in CLEAN],
        "speckled": [values[look] for values in judging for look in SPECKLED],
        **{f"two_faced {s}": [values[f"two_faced {s}"] for values in judging] for s in STRENGTHS},
        "finished assets, one face": [v for v, asked in assets if not asked and v["janus"] < 0.5],
        "finished assets, a second face asked for": [v for v, asked in assets if asked],
    }
    rings = {count: "consistency", **{n: f"consistency_{n}" for n in SPARSER}}
    negatives = groups["clean"] + groups["speckled"] + groups["finished assets, one face"]
    return {
        "scorer": name,
        "chosen": CHOSEN,
        "gates": {"consistency": {str(n): gate(n) for n in rings}, "clip": LEAST[name], "first": FIRST},
        "clean_quantile": {
            "consistency": {str(n): quantile(choosing, metric) for n, metric in rings.items()},
            "clip": quantile(choosing, "clip"),
            "first": quantile(choosing, "clip_r"),
        },
        "judged": {group: judge(looks) for group, looks in groups.items() if looks},
        "auc": {s: area(groups[f"two_faced {s}"], negatives) for s in STRENGTHS},
        "cross": {
            f"{defect} {s}": judge([values[f"{defect} {s}"] for values in measured])
            for defect in DEFECTS
            for s in STRENGTHS
        },
    }


def quantile(looks: list[Values], metric: str) -> float:
    """What 95 % of the looks reach."""
    return float(np.quantile([values[metric] for values in looks], 0.05))
