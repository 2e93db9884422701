"""Somebody's views as a row of a finished run's table: `eval.score FOLDER --row RUN`.

They are scored by the run's own scorers and prompts, kept in RUN/views and RUN/scores under a name, and the
table of the run's methods and this one stands in RUN/tables/with_NAME. What the run has stays as it is.
"""

from __future__ import annotations

import re
import sys
from itertools import zip_longest
from pathlib import Path

from ..metrics import CONTROL_TITLES, control_kind
from ..run import Key
from ..scores.scorers import Scorers, score_archive
from ..views.archive import read_asset, read_failure, write_failure, write_views
from ..views.folders import find_assets
from ..views.remarks import Setting
from .finished import Finished, load_scorers, read_finished, tabulate_again


def add_row(folder: Path, results: Path, title: str, device: str, arc: float | None = None) -> None:
    """Score a folder's views into a run, and make and print its table with them.

    Views are as the run's in number and size, or ValueError: distances and embeddings do not compare
    otherwise. That they are of its orbit is taken as given, and noted.
    """
    finished = read_finished(results)
    title = title or folder.resolve().name
    name = re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_")
    if not name or name in finished.record["methods"] or control_kind(name) in CONTROL_TITLES:
        raise ValueError(f"{results} has a row {name!r} already, or it is no name: name it by --as NAME")
    scorers, prompts = load_scorers(finished, device), finished.prompts
    found = find_assets(folder, prompts["id"].tolist(), prompts["prompt"].tolist())
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


def add_asset(finished: Finished, scorers: Scorers, own: Path | None, where: Key, setting: Setting) -> None:
    """views.zip and the scores of one asset, whose views are at `own`; without any, a failed one."""
    views, config = finished.place("views", where) / "views.zip", finished.config
    views.parent.mkdir(parents=True, exist_ok=True)
    reason = "no views" if own is None else read_failure(own) if own.is_file() else None
    if own is None or reason:
        write_failure(reason or "", views)
        own = None
    else:
        asset, side = read_asset(own), config["views"]["size"]
        if asset.rgba.shape != (expected := (config["views"]["count"], side, side, 4)):
            raise ValueError(
                f"{own}: views are {asset.rgba.shape}, the run's are {expected}, and only equal "
                "numbers and sizes compare"
            )
        write_views(asset.rgba, views, asset.surface)
    score_archive(scorers, views, where[1], finished.place("scores", where), setting, source=own)
