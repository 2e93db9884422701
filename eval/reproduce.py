"""Does a fresh run give the published figures? Every number of its tables against the published one.

    python -m eval.reproduce results/mini results/published/mini

Says `reproduced`, or lists what is not and ends with 1. tolerances.yaml says how far a figure may lie off,
and why: nowhere on the processor and versions of the published run, elsewhere by what was measured there. A
run of another scale, or of other methods, prompts, seeds, settings or protocols, is refused by their names.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer

from segmentdreamer.command import Program, Selection, settings
from segmentdreamer.recipe.settings import read_yaml

from .metrics import columns
from .report.published import manifest, read_records

TOLERANCES = Path(__file__).parent / "tolerances.yaml"
TABLES = {
    "per_prompt.csv": ["method", "prompt", "metric"],
    "summary.csv": ["method", "metric"],
    "table1.csv": ["method"],
}
ASKED = ("scale", "scorer", "reference", "methods", "controls", "prompts", "complete", "seeds", "protocols")
FIGURE = ["file", "method", "prompt", "metric", "figure"]
SHOWN = 40  # lines of what is not reproduced


@dataclass(frozen=True)
class Folder:
    """The tables of a run or of a published one, what table1.json says, and what made each asset."""

    tables: Path
    record: dict[str, Any]
    manifest: dict[str, Any]

    def asset(self, name: str) -> dict[str, Any]:
        """Everything that one asset's numbers depend on, flat."""
        shared, own = self.manifest["shared"], self.manifest["assets"][name]
        known = {key: own.get(key, shared.get(key)) for key in ("prompt", "weights_sha256")}
        config = shared["config"] | own["settings"] | own["hyper_parameters"]
        return {key: value for key, value in (known | config).items() if key != "prior.path"}

    def machines(self) -> set[str]:
        """Processors and versions of all assets."""
        parts = (self.manifest["shared"], *self.manifest["assets"].values())
        return {
            str((part.get("machine", {}).get("processor"), part.get("machine", {}).get("gpu")))
            for part in parts
            if "machine" in part
        } | {str(part["versions"]) for part in parts if "versions" in part}


def read_folder(root: Path, selection: str = "") -> Folder:
    """A run (tables below RESULTS/tables) or a published folder; FileNotFoundError without a table1.json."""
    published = (root / "manifest.json").exists()
    tables = root if published else root / "tables" / selection
    record = json.loads((tables / "table1.json").read_text("utf-8"))
    made = (
        json.loads((root / "manifest.json").read_text("utf-8")) if published else manifest(read_records(root))
    )
    return Folder(tables, record, made)


def refuse(run: Folder, published: Folder) -> None:
    """ValueError that names what the two runs were asked for differently."""
    differ = [key for key in ASKED if run.record.get(key) != published.record.get(key)]
    if differ:
        told = (
            f"{key} {brief(run.record.get(key))}, published {brief(published.record.get(key))}"
            for key in differ
        )
        raise ValueError(f"another run than the published one: {'; '.join(told)}")
    for name in published.manifest["assets"]:
        if name.split("/")[0] not in published.record["methods"] or "~" in name:
            continue
        if name not in run.manifest["assets"]:
            raise ValueError(f"another run than the published one: it has no asset {name}")
        mine, theirs = run.asset(name), published.asset(name)
        if keys := [key for key in sorted({*mine, *theirs}) if mine.get(key) != theirs.get(key)]:
            told = (f"{key} {mine.get(key)!r}, published {theirs.get(key)!r}" for key in keys[:3])
            more = f"; and {len(keys) - 3} more" if len(keys) > 3 else ""
            raise ValueError(f"other settings than the published ones, {name}: {'; '.join(told)}{more}")


def brief(value: Any) -> str:
    """A setting in a line: long lists and mappings by their keys or members."""
    return ", ".join(map(str, value)) if isinstance(value, list | dict) else str(value)


def read_figures(folder: Folder) -> pd.DataFrame:
    """Every figure of the tables: FIGURE and text, as it is written."""
    parts = []
    for file, keys in TABLES.items():
        table = pd.read_csv(folder.tables / file, dtype=str, keep_default_na=False)
        long = table.melt(keys, var_name="figure", value_name="text").assign(file=file)
        if "metric" not in long:
            long = long.assign(**split_names(long["figure"]))
        parts.append(long)
    return pd.concat(parts, ignore_index=True).reindex(columns=[*FIGURE, "text"]).fillna("")


def split_names(names: pd.Series) -> dict[str, list[str]]:
    """The columns of table1.csv, `clip_r_low`, as metric and figure; of no metric: an empty one."""
    known = sorted(columns(), key=len, reverse=True)
    found = {}
    for name in names.unique():
        metric = next((m for m in known if name == m or name.startswith(f"{m}_")), "")
        found[name] = metric, name.removeprefix(metric).removeprefix("_") or "mean"
    return {"metric": [found[n][0] for n in names], "figure": [found[n][1] for n in names]}


def compare_figures(
    run: Folder, published: Folder, tolerances: Mapping[str, Any], same: bool
) -> pd.DataFrame:
    """What is compared: FIGURE, here, published, tolerance, and in `agrees` whether they agree."""
    mine, theirs = (read_figures(folder) for folder in (run, published))
    both = mine.rename(columns={"text": "here"}).merge(
        theirs.rename(columns={"text": "published"}), "outer", FIGURE
    )
    both[["here", "published"]] = both[["here", "published"]].fillna("none")
    allowed = [tolerated(row, tolerances, same) for row in both.to_dict("records")]
    both = both.assign(tolerance=np.array(allowed, dtype=float)).dropna(subset="tolerance")
    figures = both[["here", "published", "tolerance"]].itertuples(index=False, name=None)
    return both.assign(agrees=[near(*each) for each in figures])


def tolerated(row: Mapping[Any, Any], tolerances: Mapping[str, Any], same: bool) -> float | None:
    """How far a figure may lie from the published one; None where it is not compared."""
    metric, figure = row["metric"], row["figure"]
    if metric in tolerances["machine"]["metrics"]:
        return None
    size = float(np.nan_to_num(abs(number(row["published"]))))
    last_digit = tolerances["same"]["relative"] * size
    counts = tolerances["counts"]
    if same or not metric or figure in counts["figures"] or metric in counts["metrics"]:
        return last_digit
    if metric in tolerances["jumps"]["metrics"] or figure in tolerances["jumps"]["figures"]:
        return None
    known = tolerances["other"].get(metric, {"all": tolerances["unmeasured"]["relative"] * size})
    times = tolerances["times"]["figures"].get(figure, 1)
    return max(last_digit, times * known.get(row["method"], known["all"]))


def near(here: str, there: str, tolerance: float) -> bool:
    """Whether two figures as they are written agree; texts must be equal."""
    if here == there:
        return True
    return bool(abs(number(here) - number(there)) <= tolerance)


def number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def lines(compared: pd.DataFrame, same: bool) -> Iterator[str]:
    """The verdict, and a table of what is not reproduced, the farthest off first."""
    wrong = compared[~compared["agrees"]]
    where = "the published run's processor and versions" if same else "another processor or other versions"
    if wrong.empty:
        yield f"reproduced: {len(compared)} figures agree ({where})"
        return
    yield f"not reproduced: {len(wrong)} of {len(compared)} figures ({where})"
    off = (wrong["here"].map(number) - wrong["published"].map(number)).abs() / wrong["tolerance"].replace(
        0, np.nan
    )
    worst = wrong.loc[off.fillna(np.inf).sort_values(ascending=False, kind="stable").index].drop(
        columns="agrees"
    )
    yield worst.head(SHOWN).to_string(index=False, float_format="%.3g")
    if len(wrong) > SHOWN:
        yield f"and {len(wrong) - SHOWN} more"


def reproduce(
    run: Annotated[Path, typer.Argument(help="folder of the fresh run, e.g. results/mini")],
    published: Annotated[Path, typer.Argument(help="folder of the published one")],
    selection: Selection = "",
    tolerances: Annotated[Path, settings("YAML")] = TOLERANCES,
) -> int:
    """Compare a fresh run with the published one, figure by figure."""
    fresh, kept = read_folder(run, selection), read_folder(published)
    refuse(fresh, kept)
    same = fresh.machines() == kept.machines()
    compared = compare_figures(fresh, kept, read_yaml(tolerances), same)
    print("\n".join(lines(compared, same)))
    return int(not compared["agrees"].all())


main = Program(reproduce)

if __name__ == "__main__":
    main()
