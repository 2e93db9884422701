"""Small charts as SVG coordinates, which templates draw: scores around the orbit, and logs of training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ..metrics import columns, heading
from ..tables.formats import minus
from .content import Asset, Content

RADIUS, INNER = 120, 24  # of a polar plot; the least value stands at INNER
WIDTH, HEIGHT = 200, 60  # of a curve
POINTS = 36  # of either


def ranges(content: Content) -> dict[str, tuple[float, float]]:
    """metric -> least and largest value of any view of methods and controls: all assets share their axes.

    Metrics that have a value for each view.
    """
    tables = [asset.scores for asset in content.main if not asset.failed]
    found: dict[str, tuple[float, float]] = {}
    for table in tables:
        views = table[table.groupby("metric")["view"].transform("nunique") > 3] if len(table) else table
        for metric, values in views.groupby("metric")["value"]:
            low, high = found.get(str(metric), (np.inf, -np.inf))
            found[str(metric)] = (min(low, values.min()), max(high, values.max()))
    return {m: found[m] for m in columns() if m in found and found[m][0] < found[m][1]}


def polar(asset: Asset, limits: dict[str, tuple[float, float]]) -> list[dict[str, Any]]:
    """A plot a metric: name, mean, limits, and the points of a closed line, the front below, as in a map."""
    plots = []
    azimuths = asset.record("views", "cameras.json").get("azimuth")
    for metric, (low, high) in limits.items():
        values = (
            asset.scores.loc[asset.scores["metric"] == metric].sort_values("view")["value"].to_numpy(float)
        )
        if len(values) < 4 or np.isnan(values).all():
            continue
        known = (
            azimuths
            if azimuths and len(azimuths) == len(values)
            else np.arange(len(values)) * 360 / len(values)
        )
        angle = np.deg2rad(np.asarray(known, dtype=float))
        radius = INNER + (RADIUS - INNER) * (np.nan_to_num(values, nan=low) - low) / (high - low)
        spec, rows = columns()[metric], slice(None, None, max(1, len(values) // POINTS))
        texts = {"mean": np.nanmean(values), "low": low, "high": high}
        plots.append(
            {
                "name": heading(spec),
                "note": spec.get("note", ""),
                **{key: minus(f"{value:.{spec['digits']}f}") for key, value in texts.items()},
                "points": coordinates((radius * np.sin(angle))[rows], (radius * np.cos(angle))[rows]),
            }
        )
    return plots


def curves(asset: Asset) -> list[dict[str, Any]]:
    """A chart for each column of train.csv that changes: name, least, largest and last value, points."""
    try:
        log = pd.read_csv(asset.file("assets", "train.csv")).dropna(axis=1, how="all")
    except (FileNotFoundError, pd.errors.EmptyDataError):
        log = pd.DataFrame()
    if not len(log):  # a control's, or of a run without a step
        return []
    rows, found = np.unique(np.linspace(0, len(log) - 1, POINTS).astype(int)), []
    for name in log.columns.drop("step", errors="ignore"):
        values = log[name].to_numpy(float)[rows]
        low, high = np.nanmin(values), np.nanmax(values)
        if low < high:
            y = HEIGHT - HEIGHT * (np.nan_to_num(values, nan=low) - low) / (high - low)
            texts = {"low": low, "high": high, "last": values[-1]}
            found.append(
                {
                    "name": str(name).replace("_", " "),
                    "steps": len(log),
                    **{key: minus(f"{value:.4g}") for key, value in texts.items()},
                    "points": coordinates(WIDTH * rows / max(1, rows[-1]), y),
                }
            )
    return found


def coordinates(x: np.ndarray, y: np.ndarray) -> str:
    return " ".join(f"{a:.0f},{b:.0f}" for a, b in zip(x, y, strict=True))
