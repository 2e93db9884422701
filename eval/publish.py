"""Copy what is light of a finished run into a folder for git: tables, sheet, manifest.

python -m eval.publish --results results/mini --out results/published/mini
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path

TABLES = ("table1.csv", "table1.md", "table1.tex", "per_prompt.csv", "sheet.png")


def manifest(results: Path) -> dict:
    """What made each asset: hashes, cost, and once what all of them share."""
    assets, shared = {}, {}
    for path in sorted((results / "assets").glob("*/*/*/provenance.json")):
        record = json.loads(path.read_text())
        cost = json.loads((path.parent / "cost.json").read_text())
        name = path.parent.relative_to(results / "assets").as_posix()
        assets[name] = {
            "asset_sha256": record["asset_sha256"],
            "prompt": record["prompt"],
            "hyper_parameters": record["hyper_parameters"],
            "cost": cost,
        }
        shared = {key: record[key] for key in ("config", "weights_sha256", "versions", "machine")}
    if not assets:
        raise FileNotFoundError(f"no finished assets under {results}")
    return {"shared": shared, "assets": assets}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Publish the tables of a finished run.")
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(argv)
    try:
        record = manifest(args.results)
        missing = [name for name in TABLES if not (args.results / "tables" / name).exists()]
        if missing:
            raise FileNotFoundError(f"the run has no {', '.join(missing)}")
    except FileNotFoundError as error:
        sys.exit(f"error: {error}")
    args.out.mkdir(parents=True, exist_ok=True)
    for name in TABLES:
        shutil.copyfile(args.results / "tables" / name, args.out / name)
    (args.out / "manifest.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
