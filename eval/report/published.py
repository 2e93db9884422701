"""The files of a run that a report has as they are: tables, sheet, plots, theory, a manifest of the assets.

Links of pages to an asset's files lead to the asset's page in the report; others to files that came along.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from html import escape, unescape
from pathlib import Path
from typing import Any

import pandas as pd

from segmentdreamer.records import read_record, replacing, write_json, write_text

TABLES = (
    "table1.csv", "table1.md", "table1.tex", "table1.html", "table1.json", "table1_extended.csv",
    "table1_extended.md", "per_prompt.csv", "summary.csv", "comparisons.csv", "variance.csv",
    "variance.md",
    "paper_order.csv", "claims.csv", "claims.md", "claims.json", "sheet.png",
)  # fmt: skip
SUFFIXES = (".csv", ".md", ".tex", ".html", ".json", ".svg", ".png")
LARGE = (".svg", "_per_prompt.csv", "theory.csv")  # which of plots, ablations and theory a small site lacks
SHARED = ("weights_sha256", "versions", "machine")  # told once where all assets agree
LINK = re.compile(r'<a href="([^"]*)">[^<]*</a> ?')
ASSET = re.compile(r"(?P<room>views|assets|scores)/(?P<name>.+/\d+)/[^/]+")
SECTIONS = {"views": "turntable", "assets": "record", "scores": "scores"}  # of an asset's page
LINKS_TEXT = re.compile(r' <span class="links">[^<]*</span>')


def read_records(results: Path) -> dict[str, dict[str, Any]]:
    """What made each asset, by METHOD/PROMPT/SEED, where a variant's method has folders of its own."""
    records = {}
    for path in sorted((results / "assets").rglob("provenance.json")):
        record = read_record(path)
        record["cost"] = read_record(path.with_name("cost.json"))
        # The recorded configuration lists all methods' hyper-parameters; the asset's own are listed apart.
        config = pd.json_normalize([record.get("config", {})]).to_dict("records")[0]  # section.key -> value
        record["config"] = {k: v for k, v in config.items() if not str(k).startswith("methods.")}
        records[path.parent.relative_to(results / "assets").as_posix()] = record
    return records


def manifest(records: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What made each asset: hashes, hyper-parameters, cost, and once what all assets share.

    records: see read_records. `settings` of an asset are those in which not all assets agree; weights,
    versions or machine (its processor's model among them) stand with each asset if they differ.
    """
    first = next(iter(records.values()))
    configs = [record["config"] for record in records.values()]
    common = {k: v for k, v in configs[0].items() if all(config.get(k) == v for config in configs)}
    shared = {k: first.get(k) for k in SHARED if all(r.get(k) == first.get(k) for r in records.values())}
    own = ["asset_sha256", "prompt", "hyper_parameters", "cost", *SHARED]
    assets = {
        name: {key: record.get(key) for key in own if key not in shared}
        | {"settings": {k: v for k, v in record["config"].items() if k not in common}}
        for name, record in records.items()
    }
    return {"shared": {"config": common, **shared}, "assets": assets}


def missing_tables(tables: Path) -> list[str]:
    """The tables that a finished run has and this one does not."""
    return [name for name in TABLES if not (tables / name).exists()]


def chosen_files(results: Path, selection: str = "", compact: bool = False) -> dict[Path, str]:
    """The files that come along, as far as they are made, and their names in the report.

    compact: without the LARGE ones, of whose plots there are pictures.
    """
    tables, plots = results / "tables" / selection, results / "plots" / selection
    more = [
        *sorted(tables.glob("by_category.*")),
        *sorted((results / "tables").glob("ablation_*")),
        *sorted(plots.glob("*")),
    ]
    more += sorted((results / "plots").glob("ablation_*")) if selection else []
    more += sorted((results / "theory").glob("*"))
    found = [path for name in TABLES if (path := tables / name).exists()]
    found += [path for path in more if not (compact and path.name.endswith(LARGE))]
    rooms = {"tables": "", "plots": "plots/", "theory": "theory/"}
    return {
        path: rooms[path.relative_to(results).parts[0]] + path.name
        for path in found
        if path.suffix in SUFFIXES
    }


def lead_links(page: Path, results: Path, files: Mapping[Path, str], slugs: Mapping[str, str]) -> str:
    """A page of a run whose links lead to what the report has; a link to what it has not is left out.

    files: those that come along and their names, the page's among them; slugs: METHOD/PROMPT/SEED -> the name
    of the asset's page.
    """
    names = {path.resolve(): name for path, name in files.items()}
    folder = Path(files[page]).parent

    def lead(link: re.Match[str]) -> str:
        target = unescape(link[1])
        if target.startswith("#") or "://" in target:
            return link[0]
        path = (page.parent / target).resolve()
        name, asset = names.get(path), ASSET.fullmatch(os.path.relpath(path, results.resolve()))
        if name is None and asset and asset["name"] in slugs:
            name = f"assets/{slugs[asset['name']]}.html#{SECTIONS[asset['room']]}"
        if name is None:
            return ""
        return link[0].replace(link[1], escape(Path(os.path.relpath(name, folder)).as_posix()), 1)

    text = LINK.sub(lead, page.read_text(encoding="utf-8")).replace("<small></small>", "")
    return text if LINK.search(text) else LINKS_TEXT.sub("", text)


def copy_files(
    results: Path, selection: str, slugs: Mapping[str, str], out: Path, compact: bool = False
) -> list[str]:
    """Copy the files and write manifest.json, if there are assets; the names of all.

    compact: without the LARGE ones, and the manifest without variants.
    """
    for path, name in (files := chosen_files(results, selection, compact)).items():
        if path.suffix == ".html":
            write_text(out / name, lead_links(path, results, files, slugs))
        else:
            with replacing(out / name) as partial:
                shutil.copyfile(path, partial)
    records = {
        name: record for name, record in read_records(results).items() if not (compact and "~" in name)
    }
    if records:
        write_json(out / "manifest.json", manifest(records))
    return [*files.values(), *(["manifest.json"] if records else [])]
