"""What a run knows of a contrast: paired differences over prompts, values of one method, pooled distances."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import t

from ..ablation import read_table
from ..metrics import columns
from ..scores.pathologies.consistency import GATE
from ..statistics.mean_test import Distance, Evidence, Mean
from .ledger import Contrast, Reading

ABSENT, NO_STUDY = "no such figure in this run", "no ranking study of this run (`segmentdreamer study`)"


@dataclass(frozen=True)
class Found:
    """The evidence for one metric of a contrast; without it, the note says why."""

    metric: str
    reading: Reading
    evidence: Evidence | None
    note: str = ""


@dataclass(frozen=True)
class Tables:
    """The folders of a run's tables: Table 1's, and the ablations', which are selected by themselves."""

    table1: Path
    ablations: Path

    def labels(self) -> dict[str, str]:
        """variant -> what the tables of the ablations call it."""
        paths = sorted(self.ablations.glob("ablation_*.csv"))
        made = [read_table(path) for path in paths if not path.stem.endswith("_per_prompt")]
        rows = [row for table in made for row in table.drop_duplicates("variant").to_dict("records")]
        return {row["variant"]: " ".join(row["label"].split()) for row in rows if row["official"]}


def read_evidence(tables: Tables, source: str) -> pd.DataFrame | None:
    """Values per prompt of a source: method, prompt, metric, value; None if the run has not made it."""
    paths = {"table1": tables.table1 / "per_prompt.csv"}
    path = paths.get(source, tables.ablations / f"ablation_{source}_per_prompt.csv")
    if not path.exists():
        return None
    return pd.read_csv(path, dtype={"prompt": str}).rename(columns={"variant": "method"})


def read_pooled(tables: Tables, source: str) -> pd.DataFrame:
    """Differences with an error instead of values by prompt, from table1's comparisons.csv; empty without it.

    Those of pooled distances, and of a study's mean ranks (n: the fewer of volunteers and prompts).
    """
    path = tables.table1 / "comparisons.csv"
    if source != "table1" or not path.exists():
        return pd.DataFrame(columns=["method", "against", "metric"])
    table = pd.read_csv(path)
    chosen = [m for m, spec in columns().items() if spec.get("pooled") or spec.get("study")]
    return table[table["metric"].isin(chosen)]


def find(
    contrast: Contrast, readings: Iterable[Reading], values: pd.DataFrame, pooled: pd.DataFrame
) -> list[Found]:
    """The evidence for each metric of the first reading that the run has, and may use."""
    unmet = ""
    for reading in readings:
        kept, note = satisfy(contrast, reading, values)
        note = note or unmet
        found = [find_one(contrast, reading, metric, kept, pooled, note) for metric in reading.metrics]
        if any(each.evidence for each in found):
            return found
        measured = any(len(pair(contrast, metric, values)) for metric in reading.metrics)
        unmet = note if measured else unmet
    return [Found(contrast.metric, Reading((contrast.metric,)), None, unmet or absent(contrast.metric))]


def absent(metric: str) -> str:
    """Why a run has no such figure."""
    return NO_STUDY if columns().get(metric, {}).get("study") else ABSENT


def satisfy(contrast: Contrast, reading: Reading, values: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The values that a reading may use, and what was left out.

    alone: all or none; every job of both sides ran alone on its machine. consistency: prompts on which both
    sides' views show one thing (GATE of pathologies.consistency). truth: all or none; its scene is known.
    """
    if reading.needs == "truth":
        known = set(values.loc[values["metric"] == "iou", "method"])
        return (values if sides(contrast) <= known else values[:0]), ""
    if reading.needs == "alone":
        shares = values[(values["metric"] == "alone") & values["method"].isin(sides(contrast))]
        alone = set(shares["method"]) == sides(contrast) and bool((shares["value"] == 1).all())
        return (values, "") if alone else (values[:0], "counted work: not every job ran alone")
    if reading.needs == "consistency":
        mine = values[(values["metric"] == "consistency") & values["method"].isin(sides(contrast))]
        passed = mine[mine["value"] >= GATE].groupby("prompt")["method"].nunique() == len(sides(contrast))
        kept = values[values["prompt"].isin(passed.index[passed])]
        before, after = (len(pair(contrast, reading.metrics[0], table)) for table in (values, kept))
        text = f"{after} of {before} prompts, those with a consistency of {GATE:g} or more"
        return kept, text if after < before else ""
    return values, ""


def sides(contrast: Contrast) -> set[str]:
    return {contrast.of, contrast.than} - {""}


def find_one(
    contrast: Contrast, reading: Reading, metric: str, values: pd.DataFrame, pooled: pd.DataFrame, note: str
) -> Found:
    if len(differences := pair(contrast, metric, values)):
        return Found(metric, reading, Mean(differences), note)
    both = pooled["method"].isin(sides(contrast)) & pooled["against"].isin(sides(contrast))
    for row in pooled[both & (pooled["metric"] == metric)].to_dict("records"):
        error = (row["high"] - row["low"]) / 2 / t.isf(0.025, row["n"] - 1)
        if np.isnan(error):
            return Found(metric, reading, None, f"no error of a difference from {row['n']:.0f}")
        difference = row["difference"] if row["method"] == contrast.of else -row["difference"]
        return Found(metric, reading, Distance(difference, float(error), int(row["n"])), note)
    return Found(metric, reading, None, ABSENT)


def pair(contrast: Contrast, metric: str, values: pd.DataFrame) -> np.ndarray:
    """of - than on the prompts that have both, or the values of `of` alone, (n,); empty if there are none."""
    mine = values[(values["metric"] == metric) & values["method"].isin(sides(contrast))]
    table = mine.pivot(index="prompt", columns="method", values="value").reindex(columns=[*sides(contrast)])
    found = table[contrast.of] - table[contrast.than] if contrast.than else table[contrast.of]
    return found.dropna().to_numpy(dtype=float)
