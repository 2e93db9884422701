"""Copy what is light of a finished run into a folder for git: tables, sheet, plots, manifest.

python -m eval.publish --results results/mini --out results/published/mini
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TABLES = (
    "table1.csv", "table1.md", "table1.tex", "table1.html", "table1.json", "table1_extended.csv",
    "table1_extended.md", "per_prompt.csv", "summary.csv", "comparisons.csv", "variance.csv",
    "paper_order.csv", "claims.csv", "claims.md", "claims.json", "sheet.png",
)  # fmt: skip
EXTRAS = ("tables/ablation_*", "plots/*", "theory/*")  # where the run has them
SUFFIXES = (".csv", ".md", ".json", ".svg", ".png")


def read_records(results: Path) -> dict[str, dict[str, Any]]:
    """What made each asset, by METHOD/PROMPT/SEED, where a variant's method has folders of its own."""
    records = {}
    for path in sorted((results / "assets").rglob("provenance.json")):
        record = json.loads(path.read_text())
        record["cost"] = json.loads((path.parent / "cost.json").read_text())
        # The recorded configuration lists all methods' hyper-parameters; the asset's own are listed apart.
        record["config"] = {k: v for k, v in flatten(record["config"]) if not k.startswith("methods.")}
        records[path.parent.relative_to(results / "assets").as_posix()] = record
    if not records:
        raise FileNotFoundError(f"no finished assets under {results}")
    return records


def flatten(section: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested settings as pairs of section.key and value."""
    for key, value in section.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def manifest(records: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What made each asset: hashes, hyper-parameters, cost, and once the settings that all assets share.

    records: see read_records. `settings` of an asset are those in which not all assets agree.
    """
    first = next(iter(records.values()))
    common = {
        key: value
        for key, value in first["config"].items()
        if all(record["config"].get(key) == value for record in records.values())
    }
    assets = {
        name: {key: record[key] for key in ("asset_sha256", "prompt", "hyper_parameters", "cost")}
        | {"settings": {k: v for k, v in record["config"].items() if k not in common}}
        for name, record in records.items()
    }
    shared = {key: first[key] for key in ("weights_sha256", "versions", "machine")}
    return {"shared": {"config": common, **shared}, "assets": assets}


def chosen_files(results: Path) -> dict[Path, str]:
    """The files to publish and their names there; FileNotFoundError if a table is missing."""
    missing = [name for name in TABLES if not (results / "tables" / name).exists()]
    if missing:
        raise FileNotFoundError(f"the run has no {', '.join(missing)}")
    extras = [path for pattern in EXTRAS for path in sorted(results.glob(pattern)) if path.suffix in SUFFIXES]
    tables = [results / "tables" / name for name in TABLES]
    return {path: path.relative_to(results).as_posix().removeprefix("tables/") for path in (*tables, *extras)}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Publish the tables of a finished run.")
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(argv)
    try:
        record = manifest(read_records(args.results))
        files = chosen_files(args.results)
    except FileNotFoundError as error:
        sys.exit(f"error: {error}")
    for path, name in files.items():
        (args.out / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, args.out / name)
    (args.out / "manifest.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
