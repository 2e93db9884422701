"""Copy what is light of a finished run into a folder for git: tables, sheet, plots, manifest.

Pages keep those links that lead to published files: assets and views stay where the run left them.

python -m eval.tables.publish --results results/mini --out results/published/mini
"""

from __future__ import annotations

import json
import os
import re
import shutil
from html import escape, unescape
from pathlib import Path
from typing import Annotated, Any

import pandas as pd

from segmentdreamer.command import Program, inputs, outputs
from segmentdreamer.records import write_json

TABLES = (
    "table1.csv", "table1.md", "table1.tex", "table1.html", "table1.json", "table1_extended.csv",
    "table1_extended.md", "per_prompt.csv", "summary.csv", "comparisons.csv", "variance.csv",
    "variance.md", "paper_order.csv", "claims.csv", "claims.md", "claims.json", "sheet.png",
)  # fmt: skip
EXTRAS = ("tables/by_category.*", "tables/ablation_*", "plots/*", "theory/*")  # where the run has them
SUFFIXES = (".csv", ".md", ".json", ".svg", ".png")
SHARED = ("weights_sha256", "versions", "machine")  # told once where all assets agree
LINK = re.compile(r'<a href="([^"]*)">[^<]*</a> ?')
LINKS_TEXT = re.compile(r' <span class="links">[^<]*</span>')


def read_records(results: Path) -> dict[str, dict[str, Any]]:
    """What made each asset, by METHOD/PROMPT/SEED, where a variant's method has folders of its own."""
    records = {}
    for path in sorted((results / "assets").rglob("provenance.json")):
        record = json.loads(path.read_text())
        record["cost"] = json.loads((path.parent / "cost.json").read_text())
        # The recorded configuration lists all methods' hyper-parameters; the asset's own are listed apart.
        config = pd.json_normalize(record["config"]).to_dict("records")[0]  # section.key -> value
        record["config"] = {k: v for k, v in config.items() if not str(k).startswith("methods.")}
        records[path.parent.relative_to(results / "assets").as_posix()] = record
    if not records:
        raise FileNotFoundError(f"no finished assets under {results}")
    return records


def manifest(records: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What made each asset: hashes, hyper-parameters, cost, and once what all assets share.

    records: see read_records. `settings` of an asset are those in which not all assets agree; weights,
    versions or machine (its processor's model among them) stand with each asset if they differ.
    """
    first = next(iter(records.values()))
    configs = [record["config"] for record in records.values()]
    common = {k: v for k, v in configs[0].items() if all(config.get(k) == v for config in configs)}
    shared = {key: first[key] for key in SHARED if all(r[key] == first[key] for r in records.values())}
    own = ["asset_sha256", "prompt", "hyper_parameters", "cost", *SHARED]
    assets = {
        name: {key: record[key] for key in own if key not in shared}
        | {"settings": {k: v for k, v in record["config"].items() if k not in common}}
        for name, record in records.items()
    }
    return {"shared": {"config": common, **shared}, "assets": assets}


def chosen_files(results: Path) -> dict[Path, str]:
    """The files to publish and their names there; FileNotFoundError if a table is missing."""
    missing = [name for name in TABLES if not (results / "tables" / name).exists()]
    if missing:
        raise FileNotFoundError(f"the run has no {', '.join(missing)}")
    extras = [path for pattern in EXTRAS for path in sorted(results.glob(pattern)) if path.suffix in SUFFIXES]
    tables = [results / "tables" / name for name in TABLES]
    return {path: path.relative_to(results).as_posix().removeprefix("tables/") for path in (*tables, *extras)}


def publish_page(page: Path, files: dict[Path, str]) -> str:
    """A page without the links that would lead out of the published folder, the others led to their files.

    files: the published files and their names, the page's among them.
    """
    names = {path.resolve(): name for path, name in files.items()}
    folder = Path(files[page]).parent

    def lead(link: re.Match[str]) -> str:
        target = unescape(link[1])
        if target.startswith("#") or "://" in target:
            return link[0]
        name = names.get((page.parent / target).resolve())
        if name is None:
            return ""
        return link[0].replace(link[1], escape(Path(os.path.relpath(name, folder)).as_posix()), 1)

    text = LINK.sub(lead, page.read_text(encoding="utf-8")).replace("<small></small>", "")
    return text if LINK.search(text) else LINKS_TEXT.sub("", text)


def publish(
    results: Annotated[Path, inputs("e.g. results/mini")],
    out: Annotated[Path, outputs("folder that the repository keeps")],
) -> None:
    """Copy the tables of a finished run to where they are published, with a manifest of its assets."""
    record = manifest(read_records(results))
    for path, name in (files := chosen_files(results)).items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".html":
            (out / name).write_text(publish_page(path, files), encoding="utf-8")
        else:
            shutil.copyfile(path, out / name)
    write_json(out / "manifest.json", record)


main = Program(publish)

if __name__ == "__main__":
    main()
