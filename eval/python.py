"""The scores of one asset's views from Python: `from eval import score_views`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from segmentdreamer.command import find_device

from .prompt_table import check, fill_in, plain, read_texts
from .scales import scorers_of
from .scores.asset import Models
from .scores.scorers import load_models, prepare, score_asset
from .views.archive import Views, read_asset
from .views.remarks import Setting, judge


def score_views(
    views: np.ndarray | Path | str,
    prompt: str,
    scale: str = "mini",
    prompts: Path | str | Sequence[str] = (),
    truth: Path | str | None = None,
    arc: float | None = None,
    device: str | None = None,
) -> pd.DataFrame:
    """Every score of one asset that a scale has: columns view, metric, value.

    views: (V, H, W, 4) uint8, straight alpha, or a folder or views.zip of them; they go once around in even
    steps unless cameras among them or `arc` (degrees) say otherwise. prompt: its text, or an id of `prompts`.
    prompts: a table or the other texts, for the metrics that rank among several; some need columns of a
    table. truth: folder with views.zip and two_faced.zip of the true scene. device: cpu or cuda, by default
    cuda where there is one. `attrs` of the result hold `protocol`, `protocol_id` and `notes`. Raises
    ValueError or FileNotFoundError in one line.
    """
    table = list_prompts(prompt, prompts)
    scorers = prepare(models_of(scale, find_device(device)), table)
    (own,) = table["id"][(table["id"] == prompt) | (table["prompt"].map(plain) == plain(prompt))][:1]
    if arc is not None and not 0 < arc <= 360:
        raise ValueError(f"arc is above 0 and at most 360 degrees, not {arc:g}")
    asset, place = take_views(views), Path("views" if isinstance(views, np.ndarray) else views)
    ring, notes = judge(asset, place, place.parent, Setting(arc=arc))
    rows, _ = score_asset(scorers, asset.rgba, own, Path(truth) if truth else None, ring, asset.surface)
    rows.attrs |= {"protocol": scorers.protocol.metrics, "protocol_id": scorers.protocol.id, "notes": notes}
    return rows


def take_views(views: np.ndarray | Path | str) -> Views:
    """The views of an array, folder or archive; ValueError for an array of another form."""
    if not isinstance(views, np.ndarray):
        return read_asset(Path(views))
    if views.ndim != 4 or views.shape[-1] != 4 or not views.size or views.dtype != np.uint8:
        raise ValueError(f"views are {views.shape} {views.dtype}, not (V, H, W, 4) uint8")
    return Views(views, [*range(len(views))], [], None)


def list_prompts(prompt: str, others: Path | str | Sequence[str]) -> pd.DataFrame:
    """The prompt table: that of a file, which has the prompt, or the prompt with other texts."""
    if not isinstance(others, Path | str):
        texts = {plain(text): text for text in (prompt, *others)}
        return check(fill_in([{"prompt": text} for text in texts.values()]), "prompts")
    table = read_texts(others)
    if not ((table["id"] == prompt) | (table["prompt"].map(plain) == plain(prompt))).any():
        raise ValueError(f"{others} has no prompt {prompt!r}")
    return table


@cache
def models_of(scale: str, device: str) -> Models:
    """The models of a scale, loaded once."""
    known = scorers_of(scale)
    del known["size"]
    return load_models(**known, device=device)
