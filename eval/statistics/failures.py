"""Two fair ways to count assets that failed: on the prompts where nobody failed, and at the floor.

A failed asset is a row without values, never a black image. `metrics` names the metrics of the views:
costs are spent by failed assets too and do not tell that one succeeded.
"""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

from .intervals import seed_means

ASSET = ["method", "prompt", "seed"]


def failed_assets(
    scores: pd.DataFrame, metrics: Collection[str], assets: pd.DataFrame | None = None
) -> pd.DataFrame:
    """The assets (method, prompt, seed) that have no value in any of the metrics.

    scores: method, prompt, seed, view, metric, value. assets: all that were asked for, so that one without
    any row is found too (default: those of scores).
    """
    asked = (scores if assets is None else assets)[ASSET].drop_duplicates()
    alive = scores[scores["metric"].isin(metrics) & scores["value"].notna()][ASSET].drop_duplicates()
    merged = asked.merge(alive, how="left", on=ASSET, indicator=True)
    return merged.loc[merged["_merge"] == "left_only", ASSET].reset_index(drop=True)


def complete_prompts(scores: pd.DataFrame, methods: Collection[str], metrics: Collection[str]) -> list[str]:
    """Prompts, in order of appearance, on which every method has at least one asset that succeeded."""
    alive = scores[scores["metric"].isin(metrics) & scores["value"].notna() & scores["method"].isin(methods)]
    counts = alive.groupby("prompt")["method"].nunique()
    return [p for p in scores["prompt"].drop_duplicates() if counts.get(p, 0) == len(set(methods))]


def floor_failures(
    scores: pd.DataFrame,
    metrics: Collection[str],
    control: str = "start",
    assets: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Scores of the metrics, a row an asset, with each failed asset at its floor.

    The floor is the control's value on the same prompt and metric (the mean over its seeds that have one):
    a method that produced nothing did no better than not to start. Where the control has none the value
    stays NaN. Returns method, prompt, seed, view (0), metric, value, for the functions that take scores.
    Raises ValueError if the control is not in scores.
    """
    if control not in set(scores["method"]):
        raise ValueError(f"no control {control!r} to take the floor from")
    scores = scores[scores["metric"].isin(metrics)]
    per_seed = seed_means(scores)
    controls = per_seed[per_seed["method"] == control]
    floor = controls.groupby(["prompt", "metric"], as_index=False)["value"].mean()
    failed = failed_assets(scores, metrics, assets).query("method != @control")
    tagged = per_seed.merge(failed, how="left", on=ASSET, indicator=True)
    whole = tagged[tagged["_merge"] == "left_only"].drop(columns="_merge")
    filled = failed.merge(floor, how="inner", on="prompt")
    return pd.concat([whole, filled], ignore_index=True).assign(view=0)[[*ASSET, "view", "metric", "value"]]
