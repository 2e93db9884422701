"""What a rehearsal must have made: files, shapes, types, values that are finite."""

from __future__ import annotations

import csv
import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

CLIP_COLUMNS = {"true": 768, "tiny": 32}
INCEPTION_COLUMNS = 2048


def read_costs(results: Path) -> list[dict[str, Any]]:
    """cost.json of every asset that a method made, with its method and whether it ran under Perp-Neg."""
    rows = []
    for path in sorted(results.glob("assets/*/*/*/cost.json")):
        record = json.loads((path.parent / "provenance.json").read_text())
        perp_neg = record["config"]["prompts"]["perp_neg"]
        rows.append(json.loads(path.read_text()) | {"method": record["method"], "perp_neg": perp_neg})
    return rows


def check_results(
    results: Path, config: Mapping[str, Any], numbers: Mapping[str, Any], size: str
) -> list[str]:
    """What is not as it should be, a line each; none for a sound run."""
    problems: list[str] = []
    costs = read_costs(results)
    for cost in costs:
        problems += check_cost(cost, numbers)
    for path in sorted(results.glob("assets/*/*/*/asset.ply")):
        problems += check_asset(path)
    for path in sorted(results.glob("views/*/*/*/views.zip")):
        problems += check_views(path, numbers)
    spaces = {"clip": CLIP_COLUMNS[size]}
    if config["inception"]:
        spaces |= {"inception_clean": INCEPTION_COLUMNS, "inception_pytorch": INCEPTION_COLUMNS}
    for path in sorted(results.glob("scores/*/*/*/features.npz")):
        problems += check_features(path, spaces)
    for path in sorted(results.glob("scores/*/*/*/*.csv")):
        problems += check_scores(path)
    problems += check_table(results / "tables" / "table1.csv")
    return problems


def check_cost(cost: Mapping[str, Any], numbers: Mapping[str, Any]) -> Iterator[str]:
    """An asset's records: all steps taken, none of them skipped, the network evaluated."""
    if cost["steps"] != numbers["steps"]:
        yield f"{cost['method']}: {cost['steps']} steps, not {numbers['steps']}"
    if cost["skipped_steps"] or cost.get("failed"):
        yield f"{cost['method']}: gradients that are not finite in {cost['skipped_steps']} steps"
    # Every method evaluates the network at least twice a view and step: with the prompt and without.
    if cost["nfe"] < 2 * numbers["steps"] * numbers["batch"]:
        yield f"{cost['method']}: only {cost['nfe']} network evaluations"


def check_asset(path: Path) -> Iterator[str]:
    from segmentdreamer.scene.gaussians import load_ply

    try:
        params = load_ply(path)
    except ValueError as error:
        yield str(error)
        return
    types = {str(value.dtype) for value in params.values()}
    if types != {"torch.float32"} or not len(params["means"]):
        yield f"{path}: {len(params['means'])} Gaussians in {', '.join(sorted(types))}"


def check_views(path: Path, numbers: Mapping[str, Any]) -> Iterator[str]:
    """Count, size and type of an archive of views; pictures of the prior have a count of their own."""
    from segmentdreamer.eval.views.archive import read_views

    try:
        views = read_views(path)
    except (ValueError, zipfile.BadZipFile) as error:
        yield str(error)
        return
    count = numbers["reference"] if path.parts[-4] == "prior" else numbers["views"]
    expected = (count, numbers["side"], numbers["side"], 4)
    if views.shape != expected or views.dtype != np.uint8:
        yield f"{path}: {views.dtype} {views.shape}, not uint8 {expected}"


def check_features(path: Path, spaces: Mapping[str, int]) -> Iterator[str]:
    """Feature spaces of an asset, their widths and type, all values finite."""
    with np.load(path) as stored:
        for name, columns in spaces.items():
            if name not in stored:
                yield f"{path} has no {name}"
            elif stored[name].shape[1:] != (columns,) or stored[name].dtype != np.float32:
                yield f"{path}: {name} is {stored[name].dtype} {stored[name].shape}"
            elif not np.isfinite(stored[name]).all():
                yield f"{path}: {name} holds values that are not finite"


def check_scores(path: Path) -> Iterator[str]:
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    if not rows:
        yield f"{path} is empty"
    elif not np.isfinite([float(row["value"]) for row in rows]).all():
        yield f"{path} holds values that are not finite"


def check_table(path: Path) -> Iterator[str]:
    if not path.is_file() or len(path.read_text().splitlines()) < 2:
        yield f"{path} has no rows"
