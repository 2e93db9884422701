"""Somebody's views as a row of a finished run's table: `eval.score FOLDER --row RUN`.

They are scored by the run's own scorers and prompts, kept in RUN/views and RUN/scores under a name, and the
table of the run's methods and this one stands in RUN/tables/with_NAME. What the run has stays as it is.
"""

from __future__ import annotations

import re
import sys
from itertools import zip_longest
from pathlib import Path

from segmentdreamer.methods import registry

from ..metrics import CONTROL_TITLES, control_kind
from ..run import Key
from ..scores.scorers import Scorers, score_archive
from ..views.archive import Views, read_asset, read_failure, write_failure, write_views
from ..views.folders import find_assets
from ..views.remarks import Setting, describe_cameras
from .finished import Finished, load_scorers, read_finished, tabulate_again


def add_row(folder: Path, results: Path, title: str, device: str, arc: float | None = None) -> None:
    """Score a folder's views into a run, and make and print its table with them.

    Views are as the run's in number and size, or ValueError: distances and embeddings do not compare
    otherwise. That they are of its orbit is taken as given, and noted.
    """
    finished = read_finished(results)
    title = title or folder.resolve().name
    name = name_row(finished, title)
    scorers, prompts = load_scorers(finished, device), finished.prompts
    found = find_assets(folder, prompts["id"].tolist(), prompts["prompt"].tolist())
    for own in (own for seeds in found.places.values() for own in seeds.values()):
        if not (own.is_file() and read_failure(own)):
            read_fitting(finished, own)
    (results / "tables" / f"with_{name}").mkdir(parents=True, exist_ok=True)
    truth = results / "truth" if finished.config.get("truth") else None
    setting, count = Setting(truth=truth, arc=arc), finished.record["seeds"]
    for prompt, seeds in found.places.items():
        if len(seeds) > count:
            print(f"note: {prompt}: of {len(seeds)} seeds the run's {count} are taken", file=sys.stderr)
        for seed, own in zip_longest(range(count), [*seeds.values()][:count]):
            add_asset(finished, scorers, own, (name, prompt, seed), setting)
    print(f"note: views of {folder} are taken for the run's orbit: {scorers.models.orbit}", file=sys.stderr)
    titles = {**finished.record["methods"], name: title}
    table = tabulate_again(finished, titles, results / "tables" / f"with_{name}")
    print((table / "table1.md").read_text(encoding="utf-8"))


def name_row(finished: Finished, title: str) -> str:
    """The name of a row of this title; ValueError if it is none, or that of what the run or the suite has."""
    name, results = re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_"), finished.run.results
    advice = "name it by --as NAME"
    if not name:
        raise ValueError(f"{title!r} has no letter a to z and no digit, which a row's name needs: {advice}")
    if name in finished.record["methods"] or control_kind(name) in CONTROL_TITLES:
        raise ValueError(f"{results} has a row {name!r} already: {advice}")
    if name in registry():
        raise ValueError(f"{name!r} is a method of this suite's: {advice}")
    there = [room for room in ("assets", "views", "scores") if (results / room / name).exists()]
    if there and not (results / "tables" / f"with_{name}").exists():
        raise ValueError(f"{results / there[0] / name} is there already, and of no such row: {advice}")
    return name


def read_fitting(finished: Finished, own: Path) -> Views:
    """The views of an asset, as many and as large as the run's, or ValueError."""
    asset, side = read_asset(own), finished.config["views"]["size"]
    if asset.rgba.shape != (expected := (finished.config["views"]["count"], side, side, 4)):
        raise ValueError(
            f"{own}: views are {asset.rgba.shape}, the run's are {expected}, and only equal "
            "numbers and sizes compare"
        )
    return asset


def add_asset(finished: Finished, scorers: Scorers, own: Path | None, where: Key, setting: Setting) -> None:
    """views.zip and the scores of one asset, whose views are at `own`; without any, a failed one."""
    views = finished.place("views", where) / "views.zip"
    views.parent.mkdir(parents=True, exist_ok=True)
    reason = "no views" if own is None else read_failure(own) if own.is_file() else None
    if own is None or reason:
        write_failure(reason or "", views)
        own = None
    else:
        asset = read_fitting(finished, own)
        cameras = describe_cameras(asset, own, own.parent, setting.arc)
        write_views(asset.rgba, views, asset.surface, asset.numbers, cameras)
    score_archive(scorers, views, where[1], finished.place("scores", where), setting, source=own)
