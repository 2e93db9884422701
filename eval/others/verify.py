"""Do the numbers of a finished run hold? Files against records, tables from scores, a sample's scores anew.

    segmentdreamer verify results/mini --sample 8

Says what holds and lists what does not, then ends with 1. tolerances.yaml says how far a number may lie off.
What only a new run measures (time, memory, evaluations) is taken from the run's own records, and named.
"""

from __future__ import annotations

import random
import re
import tempfile
from collections.abc import Iterator, Mapping
from itertools import chain, zip_longest
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer

from segmentdreamer.command import Device, Program, Selection, find_device, inputs, settings
from segmentdreamer.methods import registry
from segmentdreamer.recipe.settings import read_yaml
from segmentdreamer.records import (
    file_digest,
    package_versions,
    processor_model,
    read_record,
    shipped,
)

from ..reproduce import SHOWN, TABLES, TOLERANCES, Folder, compare_figures, tolerated
from ..run import COSTS, Key, path_of, read_array
from ..scores.scorers import Scorers, score_asset
from ..views.archive import read_asset
from ..views.remarks import Setting, judge
from ..views.render import render_surface
from ..views.surface import Surface
from .finished import Finished, load_scorers, read_finished, tabulate_again
from .program import REGISTRY

FINDING = ["file", "method", "prompt", "metric", "here", "stored", "tolerance"]
DIGESTS = (  # of which file stands in which room's record, under which name
    ("assets", "asset.ply", "assets", "provenance.json", "asset_sha256"),
    ("views", "views.zip", "scores", "protocol.json", "views_sha256"),
)
ASKED_WITH = {"prompts.tsv", "titles.yaml"}  # what tables are made from
NOT_AGAIN = {*COSTS, "peak_memory", "collapsed", "one_step"}  # columns that only a new run measures


def check_records(finished: Finished) -> Iterator[dict[str, Any]]:
    """What each asset's and each archive's own record says of its bytes, as rows of FINDING.

    A method's asset must be there with its record; of a control, or a row that entered as views, only the
    views must.
    """
    made = makers()
    for key in finished.scored():
        for room, file, theirs, name, field in DIGESTS:
            path, record = finished.place(room, key) / file, finished.place(theirs, key) / name
            told = read_record(record).get(field)
            if told or room == "views" or key[0].partition("/")[0] in made:
                found = file_digest(path)[:12] if path.exists() else "no file"
                stored = told[:12] if told else f"none in {name}"
                yield finding(f"{room}/{path_of(*key)}/{file}", key, "SHA-256", found, stored, 0)


def makers() -> set[str]:
    """The methods that make assets: ours, and the programs of others that do not enter as views."""
    foreign = read_yaml(shipped(REGISTRY))
    theirs = {name for name, entry in foreign.items() if entry.get("as") != "views"}
    return theirs | {name for name, entry in registry().items() if "class" in entry}


def finding(file: str, key: Key, metric: str, *figures: Any) -> dict[str, Any]:
    return dict(zip(FINDING, (file, *key[:2], metric, *figures), strict=True))


def check_tables(finished: Finished, tolerances: Mapping[str, Any], study: Path | None) -> pd.DataFrame:
    """Every figure of the tables, and each line of their other forms, against what the scores give now."""
    with tempfile.TemporaryDirectory() as folder:
        fresh = tabulate_again(finished, finished.record["methods"], Path(folder), study)
        everything = {**tolerances, "machine": {"metrics": []}}  # of one run, times must agree as well
        figures = compare_figures(
            Folder(fresh, {}, {}), Folder(finished.tables, {}, {}), everything, same=True
        )
        others = sorted(path.name for path in fresh.iterdir() if path.name not in {*TABLES, *ASKED_WITH})
        lines = [row for name in others for row in compare_lines(name, fresh, finished.tables)]
    return pd.concat([figures, pd.DataFrame(lines)], ignore_index=True)


def read_lines(path: Path) -> list[str]:
    """The lines of a text; without the addresses of a page's links, which its own place is in."""
    return re.sub(r'href="[^"]*"', "href", path.read_text("utf-8")).splitlines()


def compare_lines(name: str, fresh: Path, stored: Path) -> Iterator[dict[str, Any]]:
    """The lines of a table's file, as rows of compare_figures; one row where they agree."""
    row = {"file": name, "method": "", "prompt": "", "metric": "", "tolerance": 0.0}
    if not (stored / name).is_file():
        yield {**row, "figure": "file", "here": "made", "published": "none", "agrees": False}
        return
    mine, theirs = (read_lines(side / name) for side in (fresh, stored))
    if mine == theirs:
        yield {**row, "figure": "lines", "here": str(len(mine)), "published": str(len(mine)), "agrees": True}
    for number, (here, there) in enumerate(zip_longest(mine, theirs, fillvalue=""), start=1):
        if here != there:
            first = next(i for i, pair in enumerate(zip_longest(here, there)) if len({*pair}) > 1)
            shown = (side[max(first - 12, 0) :][:32] for side in (here, there))
            cells = dict(zip(("here", "published"), shown, strict=True))
            yield {**row, "figure": f"line {number}", **cells, "agrees": False}


def draw(finished: Finished, count: int, seed: int) -> list[Key]:
    """So many assets, the methods' before the controls', one of each row before a second of any."""
    chance, rows = random.Random(seed), list[list[Key]]()
    for method in (*finished.run.methods, *finished.run.controls):
        mine = [key for key in finished.scored() if key[0] == method]
        rows.append(chance.sample(mine, len(mine)))
    return [key for key in chain(*zip_longest(*rows)) if key][:count]


def try_asset(*given: Any) -> Iterator[dict[str, Any]]:
    """As check_asset; an asset that cannot be read is a finding."""
    try:
        yield from check_asset(*given)
    except (ValueError, OSError, KeyError) as error:
        where = path_of(*given[2])
        yield finding(f"assets/{where}", given[2], "reading", " ".join(str(error).split()), "readable", 0)


def check_asset(
    finished: Finished, scorers: Scorers, key: Key, tolerances: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """Views, features and scores of one asset made anew, as rows of FINDING.

    Where no asset.ply is (a control of pictures, a method that entered as views) its views are scored again.
    """
    asset, views = finished.place("assets", key) / "asset.ply", finished.place("views", key) / "views.zip"
    stored, same = read_asset(views), same_machine(asset.with_name("provenance.json"))
    rgba, surface, where = stored.rgba, stored.surface, path_of(*key)
    if asset.exists():
        rgba, _, fresh = render_surface(asset, finished.config["views"], scorers.models.device)
        surface = Surface.unpack(fresh.pack(), "depth", rgba)  # by the levels of a file, as the stored one is
        if rgba.shape != stored.rgba.shape:
            raise ValueError(f"{views} is {stored.rgba.shape}, the run's settings ask for {rgba.shape}")
        off = float(np.abs(rgba.astype(int) - stored.rgba).mean())
        most = 0.0 if same else tolerances["verify"]["levels"]
        yield finding(f"views/{where}/views.zip", key, "levels (of 255)", off, 0.0, most)
    truth = finished.run.results / "truth" / key[1] if finished.config.get("truth") else None
    whole, _ = judge(stored, views, views.parent, Setting())
    scores, features = score_asset(scorers, rgba, key[1], truth, whole, surface)
    known = pd.read_csv(finished.place("scores", key) / "scores.csv")
    means, theirs = (rows.groupby("metric")["value"].mean() for rows in (scores, known))
    for metric in sorted({*map(str, means.index), *map(str, theirs.index)}):
        here, there = (float(side.get(metric, np.nan)) for side in (means, theirs))
        row = {"metric": metric, "figure": "mean", "method": "", "published": str(there)}
        most = tolerated(row, tolerances, same)  # none of an order or a gate on another processor
        if most is not None:
            yield finding(f"scores/{where}/scores.csv", key, metric, here, there, most)
        if same and known["metric"].eq(metric).any():
            worst = worst_view(scores, known, metric)
            yield finding(f"scores/{where}/scores.csv", key, f"{metric}, worst view", *worst, 0.0)
    for space, mine in features.items():
        kept = read_array(finished.run.results, *key, space)
        off = float(np.abs(mine - kept).mean()) if kept is not None and kept.shape == mine.shape else np.nan
        most = tolerances["verify"]["features"] * float(np.abs(mine).mean())
        yield finding(f"scores/{where}/features.npz", key, space, off, 0.0, most)


def worst_view(scores: pd.DataFrame, known: pd.DataFrame, metric: str) -> tuple[float, float]:
    """A metric's two values of the view in which they differ most; NaN where only one side has it."""
    mine, theirs = (rows[rows["metric"] == metric].set_index("view")["value"] for rows in (scores, known))
    both = pd.concat({"here": mine, "stored": theirs}, axis=1).astype(float)
    off = (both["here"] - both["stored"]).abs().mask(both.isna().sum(axis=1) == 1, np.inf).fillna(0.0)
    here, stored = both.to_numpy()[int(off.to_numpy().argmax())]
    return float(here), float(stored)


def same_machine(record: Path) -> bool:
    """Whether this is the processor, and these the versions, that the record of an asset names."""
    told = read_record(record)
    machine = told.get("machine", {})
    return (machine.get("processor"), machine.get("gpu")) == (processor_model(), None) and told.get(
        "versions"
    ) == package_versions()


def holds(row: Mapping[Any, Any]) -> bool:
    """Whether a finding's two figures agree; what neither side has does."""
    here, stored = row["here"], row["stored"]
    if isinstance(here, str):
        return bool(here == stored)
    last_digit = 1e-5 * abs(np.nan_to_num(stored))  # of scores.csv
    return bool((np.isnan(here) and np.isnan(stored)) or abs(here - stored) <= row["tolerance"] + last_digit)


def tell(name: str, found: pd.DataFrame, what: str) -> bool:
    """Print one check's verdict, and the numbers that do not hold; whether all do."""
    wrong = found[~found["agrees"].astype(bool)].drop(columns="agrees")
    count = f"{len(found) - len(wrong)} of {len(found)} hold"
    print(f"{name}: {count if len(wrong) else f'all {len(found)} hold'} ({what})")
    if len(wrong):
        print(wrong.head(SHOWN).to_string(index=False, float_format="%.6g"))
    if len(wrong) > SHOWN:
        print(f"and {len(wrong) - SHOWN} more")
    return not len(wrong)


def verify(
    run: Annotated[Path, typer.Argument(help="folder of the finished run, e.g. results/mini")],
    sample: Annotated[int, settings("assets that are rendered and scored anew", min=0)] = 8,
    seed: Annotated[int, settings("another number, another sample")] = 0,
    selection: Selection = "",
    study: Annotated[Path | None, inputs("study.csv that the table was made with")] = None,
    tolerances: Annotated[Path, settings("YAML")] = TOLERANCES,
    device: Device = None,
) -> int:
    """Say which numbers of a finished run hold: by its records, its scores, and a sample made anew."""
    finished, allowed = read_finished(run, selection), read_yaml(tolerances)
    records = pd.DataFrame(check_records(finished), columns=FINDING)
    good = tell(
        "files",
        records.assign(agrees=[holds(row) for row in records.to_dict("records")]),
        "assets and views are those of their records",
    )
    tables = check_tables(finished, allowed, study)
    good &= tell("tables", tables, "figures that follow from the scores")
    chosen = draw(finished, sample, seed)
    scorers = load_scorers(finished, find_device(device)) if chosen else None
    rows = [row for key in chosen if scorers for row in try_asset(finished, scorers, key, allowed)]
    found = pd.DataFrame(rows, columns=FINDING)
    drawn = f"{len(chosen)} of {len(finished.scored())} assets, drawn by seed {seed}"
    rendered = {key: (finished.place("assets", key) / "asset.ply").exists() for key in chosen}
    names = ", ".join(path_of(*key) + ("" if rendered[key] else " (its pictures alone)") for key in chosen)
    good &= tell("sample", found.assign(agrees=[holds(row) for row in rows]), f"{drawn}: {names}")
    unseen = sorted(NOT_AGAIN & {*finished.run.scores["metric"]})
    print(f"not measured again: {', '.join(unseen) or 'nothing'}, the reference set, the true scenes")
    return int(not good)


main = Program(verify)

if __name__ == "__main__":
    main()
