"""Anyone's views: a folder of pictures a prompt, scored and summarized without Snakemake.

Which folder belongs to which prompt is told in assets, which pictures are views in naming. A prompt without
views is a failed row. What a reader of the numbers must know besides is a note: printed, and kept in
summary.md and protocol.json. Distances to a reference set are over the prompts that both have.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from segmentdreamer.records import folder_digest, write_arrays, write_json, write_table, write_text

from ..distances.kernels import prompt_mmd2
from ..distances.paired import MEASURES, OF_PROMPTS, intervals
from ..reference.origin import UNKNOWN, check_origin, open_features, read_features_of, read_origin
from ..statistics.intervals import SMALLEST_SAMPLE as FEW
from ..statistics.intervals import mean_intervals
from ..tables.formats import NOTHING, Marked, grid
from ..views.archive import read_asset, read_failure
from ..views.folders import Found, find_assets
from ..views.remarks import Notes, Setting, judge, shorten
from .asset import Metrics
from .scorers import Scorers, score_asset, text_notes

SUMMARY = ["metric", "mean", "low", "high", "prompts"]
Features = dict[tuple[str, str], Metrics]  # (prompt, seed) -> feature space -> array


def score_folder(scorers: Scorers, folder: Path, out: Path, setting: Setting | None = None) -> None:
    """Score every prompt's views; write scores.csv, summary.{csv,md}, features.npz and protocol.json."""
    setting, prompts = setting or Setting(), scorers.prompts
    if out.exists() and not out.is_dir():
        raise NotADirectoryError(f"{out} is a file, not a folder for scores")
    found = find_assets(folder, prompts.ids, prompts.texts)
    notes: Notes = {}
    if setting.reference:
        check_reference(setting.reference, scorers, notes)
    for name, note in text_notes(scorers):
        notes.setdefault(note, []).append(name)
    scores, features, failed = score_places(scorers, folder, found, setting, notes)
    if setting.reference:
        scores = pd.concat([scores, prompt_distances(features, setting.reference)], ignore_index=True)
    summary = mean_intervals(scores.assign(method="folder")).dropna(subset="mean")[SUMMARY]
    if setting.reference:
        distances = summarize_distances(features, setting.reference, prompts.ids, notes)
        summary = pd.concat([summary, distances], ignore_index=True).fillna({"reason": ""})
    if (count := scores["prompt"].nunique()) < FEW:
        notes[f"no intervals: they need {FEW} prompts with views, there are {count}"] = []
    if found.strays:
        notes[f"these folders hold views of no prompt or no seed, not scored: {shorten(found.strays)}"] = []
    write(scores, summary, features, failed, notes, scorers, folder, out)


def score_places(
    scorers: Scorers, folder: Path, found: Found, setting: Setting, notes: Notes
) -> tuple[pd.DataFrame, Features, dict[str, str]]:
    """Scores (prompt, seed, view, metric, value), features and failures of all assets; notes are added."""
    frames, features, failed = [], {}, dict(found.missing)
    for i, (name, seeds) in enumerate(found.places.items()):
        print(f"[{i + 1}/{len(found.places)}] {name}: {len(seeds)} asset(s)", file=sys.stderr, flush=True)
        for seed, path in seeds.items():
            if path.is_file() and (reason := read_failure(path)):
                failed[f"{name}/{seed}"] = reason
                continue
            asset = read_asset(path)
            whole, told = judge(asset, path, folder, setting)
            truth = setting.truth / name if setting.truth else None
            rows, features[name, seed] = score_asset(scorers, asset.rgba, name, truth, whole, asset.surface)
            if (rows.loc[rows["metric"] == "janus_withheld", "value"] == 1).any():
                told.append("janus_index withheld: consistency or CLIP below its gate, see docs/protocols.md")
            for note in told:
                notes.setdefault(note, []).append(f"{name}/{seed}")
            frames.append(rows.assign(prompt=name, seed=seed))
    if not frames:
        raise ValueError(f"{folder}: every asset failed: {'; '.join(sorted(set(failed.values())))}")
    return pd.concat(frames, ignore_index=True), features, failed


def write(
    scores: pd.DataFrame, summary: pd.DataFrame, features: Features, failed: Mapping[str, str], notes: Notes,
    scorers: Scorers, folder: Path, out: Path,
) -> None:  # fmt: skip
    """Everything that was found, and the summary on standard output."""
    out.mkdir(parents=True, exist_ok=True)
    arrays = {f"{space}/{n}/{s}": v for (n, s), spaces in features.items() for space, v in spaces.items()}
    write_arrays(out / "features.npz", arrays)
    views = (p for p in folder.rglob("*") if p.suffix.lower() in (".png", ".zip") and p.is_file())
    record = scorers.protocol.record(folder_digest(folder, views)) | {"failed": failed, "notes": notes}
    write_json(out / "protocol.json", record)
    columns = ["prompt", "seed", "view", "metric", "value"]
    write_table(out / "scores.csv", scores[columns])
    write_table(out / "summary.csv", summary)
    table = markdown(summary, failed, scorers.protocol.id, folder.resolve().name)
    remarks = [f"note: {shorten(assets)}{': ' if assets else ''}{note}" for note, assets in notes.items()]
    write_text(out / "summary.md", table + "".join(f"\n{line}\n" for line in remarks))
    print(*remarks, sep="\n", end="\n" if remarks else "", file=sys.stderr)
    print(table, end="")


def markdown(summary: pd.DataFrame, failed: Mapping[str, str], protocol: str, name: str) -> str:
    body, rows = [], summary.to_dict("records")
    for row in rows:
        mean = NOTHING if np.isnan(row["mean"]) else f"{row['mean']:.4g}"
        span = NOTHING if np.isnan(row["low"]) else f"[{row['low']:.4g}, {row['high']:.4g}]"
        body.append([Marked(row["metric"]), Marked(mean), Marked(span), str(row["prompts"])])
    table = grid(["metric", "mean", "95 % interval", "prompts"], body)
    lines = [f"{name}: mean over prompts with 95 % intervals, protocol {protocol}\n\n{table}"]
    lines += [f"\n{row['metric']}: {row['reason']}" for row in rows if row.get("reason")]
    lines += [f"\nfailed: {asset}: {reason}" for asset, reason in failed.items()]
    return "\n".join(lines) + "\n"


def check_reference(path: Path, scorers: Scorers, notes: Notes) -> None:
    """ValueError if the reference is of other prompts, texts or weights; a note if it does not say."""
    prompts, names = scorers.prompts, {name for _, name in read_features(path)}
    with open_features(path) as stored:
        origin = read_origin(stored, path)
    check_origin(origin, path, dict(zip(prompts.ids, prompts.texts, strict=True)), scorers.protocol.weights)
    if not names & set(prompts.ids):
        raise ValueError(
            f"{path} has features of {shorten(sorted(names)) or 'nothing'}, and of none of these prompts "
            f"({shorten(prompts.ids)}); expected features.npz of eval.reference"
        )
    if not origin:
        notes[f"of the reference {path}: {UNKNOWN}"] = []


def prompt_distances(features: Features, reference: Path) -> pd.DataFrame:
    """Distance of every asset to the reference images of its prompt, as rows of scores."""
    rows, theirs = [], read_features(reference)
    for (name, seed), arrays in features.items():
        for metric, (space, kernel) in OF_PROMPTS.items():
            if space in arrays and (space, name) in theirs:
                check_width(reference, space, [arrays[space], theirs[space, name]])
                (value,) = prompt_mmd2(kernel, [arrays[space]], theirs[space, name])
                rows.append((name, seed, 0, metric, value))
    return pd.DataFrame(rows, columns=["prompt", "seed", "view", "metric", "value"])


def check_width(reference: Path, space: str, arrays: list[np.ndarray]) -> None:
    if len({array.shape[1] for array in arrays}) > 1:
        raise ValueError(f"{reference} is another scorer's: its {space} features are of another width")


def summarize_distances(features: Features, reference: Path, ids: list[str], notes: Notes) -> pd.DataFrame:
    """FID, KID and CMMD against a reference set, over the prompts of both: SUMMARY's columns and reason."""
    parts = [pd.DataFrame(columns=SUMMARY)]
    mine, theirs = pool_seeds(features), read_features(reference)
    spaces, known = ({space for space, _ in side} for side in (mine, theirs))
    for space in sorted(spaces ^ known):
        owner = "these scores have" if space in spaces else "the reference has"
        notes[f"no distances in {space}: only {owner} features of it"] = []
    for metric, (space, _) in MEASURES.items():
        if space not in spaces & known:
            continue
        scored = [name for name in ids if (space, name) in mine]
        both = [n for n in scored if len(mine[space, n]) > 1 and len(theirs.get((space, n), [])) > 1]
        check_width(reference, space, [side[space, n] for n in both for side in (mine, theirs)])
        if lacking := [name for name in scored if name not in both]:
            notes[f"distances are without prompts that lack two pictures on a side: {shorten(lacking)}"] = []
        if len(both) < 2:
            notes[f"no distances: they need two prompts ({FEW} for an interval), there are {len(both)}"] = []
            continue
        ours, others = ([side[space, n] for n in both] for side in (mine, theirs))
        found = intervals(metric, {"folder": ours}, others)
        if found["low"].isna().all() and not found["reason"].any():
            notes[f"no interval of distances: they need {FEW} prompts, there are {len(both)}"] = []
        parts.append(found.rename(columns={"n": "prompts"})[[*SUMMARY, "reason"]])
    return pd.concat(parts, ignore_index=True)


def read_features(path: Path) -> dict[tuple[str, str], np.ndarray]:
    """(space, prompt) -> features (n, D) of a reference; ValueError where they are none."""
    found: dict[tuple[str, str], np.ndarray] = {}
    with open_features(path) as stored:
        for key in (key for key in stored.files if "/" in key):
            space, name = key.split("/", 1)
            found[space, name] = array = read_features_of(stored, key, path)
            if array.ndim != 2 or array.dtype.kind != "f" or not np.isfinite(array).all():
                raise ValueError(f"{path}: {key} is no array (n, D) of finite features")
    return found


def pool_seeds(features: Features) -> dict[tuple[str, str], np.ndarray]:
    """(space, prompt) -> features of all seeds (n, D)."""
    found = defaultdict(list)
    for (name, _), spaces in features.items():
        for space, array in spaces.items():
            found[space, name].append(array)
    return {key: np.concatenate(arrays) for key, arrays in found.items()}
