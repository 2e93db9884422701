"""Anyone's views: a folder of pictures a prompt, scored and summarized without Snakemake.

The layout is GPTEval3D's, FOLDER/PROMPT/[SEED/]rgb_000.png ..., or `views.zip` in their place. A prompt's
folder bears its id or its text, spaces as they are or as _ or -. A prompt without views is a failed row.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from eval.archive import read_failure, read_views
from eval.distances import MEASURES, OF_PROMPTS, intervals
from eval.mmd import prompt_mmd2
from eval.scorers import Metrics, PromptTexts, Scorers, score_asset
from eval.statistics import mean_intervals

SUMMARY = ["metric", "mean", "low", "high", "prompts"]
EXPECTED = 120  # views an asset, as in the paper


def score_folder(
    scorers: Scorers,
    folder: Path,
    prompts: PromptTexts,
    out: Path,
    reference: Path | None = None,
    truth: Path | None = None,
) -> None:
    """Score every prompt's views; write scores.csv, summary.{csv,md}, features.npz and protocol.json."""
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {folder}")
    found = {
        name: find_views(folder, name, text) for name, text in zip(prompts.ids, prompts.texts, strict=True)
    }
    if not any(found.values()):
        raise FileNotFoundError(
            f"{folder} has no views: expected {prompts.ids[0]}/rgb_000.png or {prompts.ids[0]}/views.zip"
        )
    frames, features, failed = [], {}, {}
    for i, (name, seeds) in enumerate(found.items()):
        print(f"[{i + 1}/{len(found)}] {name}: {len(seeds)} asset(s)", file=sys.stderr, flush=True)
        if not seeds:
            failed[name] = "no views"
        for seed, path in seeds.items():
            reason = read_failure(path) if path.suffix == ".zip" else None
            if reason:
                failed[f"{name}/{seed}"] = reason
                continue
            views = read_views(path) if path.suffix == ".zip" else read_pictures(path)
            if len(views) != EXPECTED:
                print(f"note: {path} has {len(views)} views, not {EXPECTED}", file=sys.stderr)
            rows, features[name, seed] = score_asset(
                scorers, views, name, prompts, truth / name if truth else None
            )
            frames.append(rows.assign(prompt=name, seed=seed))
    if not frames:
        raise ValueError(f"{folder}: every asset failed: {'; '.join(sorted(set(failed.values())))}")
    if reference:
        frames.append(prompt_distances(features, reference))
    scores = pd.concat(frames, ignore_index=True)
    summary = summarize(scores)
    if reference:
        summary = pd.concat([summary, summarize_distances(features, reference)], ignore_index=True)
        summary = summary.fillna({"reason": ""})
    write(scores, summary, features, failed, scorers, folder, out)


def find_views(folder: Path, name: str, text: str) -> dict[str, Path]:
    """The assets of a prompt by seed: a views.zip, or a folder of rgb_*.png. Empty if there is none."""
    plain = re.sub(r"[^\w\s-]", "", text)
    spellings = [t.replace(" ", joint) for t in (text, plain, plain.lower()) for joint in (" ", "_", "-")]
    for candidate in [name, *spellings]:
        place = folder / candidate
        if not place.is_dir():
            continue
        if own := asset_in(place):
            return {"0": own}
        inner = {path.name: asset_in(path) for path in sorted(place.iterdir()) if path.is_dir()}
        return {seed: path for seed, path in inner.items() if path}
    return {}


def asset_in(place: Path) -> Path | None:
    if (place / "views.zip").is_file():
        return place / "views.zip"
    return place if any(place.glob("rgb_*.png")) else None


def read_pictures(place: Path) -> np.ndarray:
    """The views (V, H, W, 4) uint8 of rgb_*.png; alpha from RGBA or from alpha_*.png, else opaque.

    Raises ValueError for pictures that differ in size, or alphas that do not match them.
    """
    from PIL import Image

    paths = sorted(place.glob("rgb_*.png"), key=lambda path: int(re.sub(r"\D", "", path.stem) or 0))
    views = []
    for path in paths:
        picture = Image.open(path).convert("RGBA")
        beside = path.with_name(path.name.replace("rgb_", "alpha_"))
        if beside.is_file():
            alpha = Image.open(beside).convert("L")
            if alpha.size != picture.size:
                raise ValueError(f"{beside} is {alpha.size}, {path.name} is {picture.size}")
            picture.putalpha(alpha)
        views.append(np.asarray(picture))
    if len({view.shape for view in views}) > 1:
        raise ValueError(f"{place} holds pictures of different sizes")
    return np.stack(views)


def summarize(scores: pd.DataFrame) -> pd.DataFrame:
    """Mean over prompts with its interval: columns of SUMMARY."""
    return mean_intervals(scores.assign(method="folder")).dropna(subset="mean")[SUMMARY]


def prompt_distances(features: dict[tuple[str, str], Metrics], reference: Path) -> pd.DataFrame:
    """Distance of every asset to the reference images of its prompt, as rows of scores."""
    stored, rows = np.load(reference), []
    for (name, seed), arrays in features.items():
        for metric, (space, kernel) in OF_PROMPTS.items():
            if space in arrays and f"{space}/{name}" in stored:
                (value,) = prompt_mmd2(kernel, [arrays[space]], stored[f"{space}/{name}"])
                rows.append((name, seed, 0, metric, value))
    return pd.DataFrame(rows, columns=["prompt", "seed", "view", "metric", "value"])


def summarize_distances(features: dict[tuple[str, str], Metrics], reference: Path) -> pd.DataFrame:
    """FID, KID and CMMD over the prompts that the reference has too: SUMMARY's columns and reason."""
    stored = np.load(reference)
    parts = [pd.DataFrame(columns=SUMMARY)]
    for metric, (space, _) in MEASURES.items():
        mine: dict[str, list[np.ndarray]] = {}
        for (name, _), arrays in features.items():
            if space in arrays and f"{space}/{name}" in stored:
                mine.setdefault(name, []).append(arrays[space])
        if len(mine) > 1:
            theirs = [stored[f"{space}/{name}"] for name in mine]
            found = intervals(metric, {"folder": [np.concatenate(seeds) for seeds in mine.values()]}, theirs)
            parts.append(found.rename(columns={"n": "prompts"})[[*SUMMARY, "reason"]])
    return pd.concat(parts, ignore_index=True)


def write(
    scores: pd.DataFrame,
    summary: pd.DataFrame,
    features: dict[tuple[str, str], Metrics],
    failed: dict[str, str],
    scorers: Scorers,
    folder: Path,
    out: Path,
) -> None:
    """Everything that was found, and the summary on standard output."""
    out.mkdir(parents=True, exist_ok=True)
    arrays = {f"{space}/{n}/{s}": v for (n, s), spaces in features.items() for space, v in spaces.items()}
    np.savez(out / "features.npz", **arrays)  # type: ignore[arg-type]
    record = scorers.protocol.record(views_digest(folder)) | {"failed": failed}
    (out / "protocol.json").write_text(json.dumps(record, indent=1) + "\n")
    columns = ["prompt", "seed", "view", "metric", "value"]
    scores[columns].to_csv(out / "scores.csv", index=False, float_format="%.6g")
    summary.to_csv(out / "summary.csv", index=False, float_format="%.6g")
    text = markdown(summary, failed, scorers.protocol.id, folder.name)
    (out / "summary.md").write_text(text)
    print(text, end="")


def views_digest(folder: Path) -> str:
    """SHA-256 over the names and bytes of all views below a folder."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.suffix in (".png", ".zip")):
        digest.update(f"{path.relative_to(folder).as_posix()}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def markdown(summary: pd.DataFrame, failed: dict[str, str], protocol: str, name: str) -> str:
    lines = [
        f"{name}: mean over prompts with 95 % intervals, protocol {protocol}", "",
        "| metric | mean | 95 % interval | prompts |", "| --- | --- | --- | --- |",
    ]  # fmt: skip
    for row in summary.to_dict("records"):
        mean = "–" if np.isnan(row["mean"]) else f"{row['mean']:.4g}"
        span = "–" if np.isnan(row["low"]) else f"[{row['low']:.4g}, {row['high']:.4g}]"
        lines.append(f"| {row['metric']} | {mean} | {span} | {row['prompts']} |")
    lines += [
        f"\n{row['metric']}: {row['reason']}" for row in summary.to_dict("records") if row.get("reason")
    ]
    lines += [f"\nfailed: {asset}: {reason}" for asset, reason in failed.items()]
    return "\n".join(lines) + "\n"
