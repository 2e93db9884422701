"""All files of a run as long tables: the one place that knows where scores, costs and features lie."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from segmentdreamer.records import read_record

from .guidance import Guidance, read_guidance
from .identity import of_cells
from .metrics import CONTROL_TITLES, control_kind
from .reference.origin import check_origin, open_features, read_origin

Key = tuple[str, str, int]  # method, prompt, seed of an asset
SCORES = ["method", "prompt", "seed", "view", "metric", "value"]
# Of cost.json, as metrics.
COSTS = ("seconds", "cpu_seconds", "alone", "tflop", "nfe", "gaussians", "held_back")
LOGGED = ("collapsed", "one_step")  # columns of train.csv whose mean over the steps is a share


@dataclass(frozen=True)
class Run:
    """One run, read once.

    assets: method, prompt, seed, status (ok or failed), reason. scores: method, prompt, seed, view, metric,
    value, costs among them (view 0); a failed asset has no rows. protocols: metric -> protocol id. guidance:
    of each method, as its assets' records tell.
    """

    results: Path
    methods: list[str]
    controls: list[str]
    prompts: list[str]
    assets: pd.DataFrame
    scores: pd.DataFrame
    protocols: dict[str, str] = field(default_factory=dict)
    protocol_id: str = ""
    device: str = ""
    guidance: dict[str, Guidance] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)  # prompt -> text, as it was scored
    weights: dict[str, str] = field(default_factory=dict)  # model -> SHA-256

    def failed(self) -> pd.DataFrame:
        """The failed assets of the methods: method, prompt, seed, reason."""
        mine = self.assets[self.assets["method"].isin(self.methods)]
        return mine.loc[mine["status"] == "failed", ["method", "prompt", "seed", "reason"]]


def read_run(
    results: Path,
    methods: Iterable[str],
    controls: Iterable[str],
    prompts: Iterable[str],
    seeds: int,
    planned: Iterable[str] = (),
) -> Run:
    """Scores, costs and protocols of every asset of these methods and controls.

    A control may have fewer seeds than the methods, as the truth has. planned: what the scores should be (see
    identity.of_cells). Raises FileNotFoundError for a missing score file and ValueError if two score files
    follow different protocols or are not those planned, two assets of a method were made under different
    guidance, or assets by other versions of the trunk, kinds of device or numbers of threads.
    """
    methods, controls, prompts = list(methods), list(controls), list(prompts)
    check_planned(results, methods, controls, prompts, seeds, list(planned))
    keys = list(product(methods, prompts, range(seeds)))
    for key in product(controls, prompts, range(seeds)):
        if key[2] == 0 or (results / "scores" / path_of(*key) / "scores.csv").exists():
            keys.append(key)
    return read_assets(results, methods, controls, prompts, keys)


def load_run(results: Path | str) -> Run:
    """A run with all that lies in its folder: methods (variants aside), controls, prompts and seeds.

    Raises FileNotFoundError without any score, and what read_run raises.
    """
    scores = Path(results) / "scores"
    found = sorted(path.parent.relative_to(scores).parts for path in scores.glob("*/*/*/scores.csv"))
    if not found:
        raise FileNotFoundError(f"no run at {results}: it has no scores/METHOD/PROMPT/SEED/scores.csv")
    keys = [(method, prompt, int(seed)) for method, prompt, seed in found]
    names, prompts = list(dict.fromkeys(m for m, _, _ in keys)), list(dict.fromkeys(p for _, p, _ in keys))
    controls = [name for name in names if control_kind(name) in CONTROL_TITLES]
    methods = [name for name in names if name not in controls]
    return read_assets(Path(results), methods, controls, prompts, keys)


def read_assets(
    results: Path, methods: list[str], controls: list[str], prompts: list[str], keys: list[Key]
) -> Run:
    """The run of these assets (see read_run)."""
    records = [read_protocol(results / "scores" / path_of(*key)) for key in keys]
    scored = [(key, record) for key, record in zip(keys, records, strict=True) if record["status"] == "ok"]
    check_protocols(results, scored)
    check_alike(results, [key for key in keys if key[0] in methods])
    frames = [read_asset(results, *key, cost=key[0] not in controls) for key, _ in scored]
    assets = pd.DataFrame(keys, columns=["method", "prompt", "seed"])
    assets["status"] = [record["status"] for record in records]
    assets["reason"] = [record["reason"] for record in records]
    known = scored[0][1] if scored else {}
    return Run(
        results, methods, controls, prompts, assets,
        pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=SCORES),
        known.get("protocol", {}), known.get("protocol_id", ""), read_device(results, methods, keys),
        {m: read_guidance(results / "assets" / path_of(*k) for k in keys if k[0] == m) for m in methods},
        {key[1]: record["prompt"] for key, record in scored if "prompt" in record}, known.get("weights", {}),
    )  # fmt: skip


def path_of(method: str, prompt: str, seed: int) -> str:
    return f"{method}/{prompt}/{seed}"


def read_protocol(folder: Path) -> dict[str, Any]:
    """protocol.json of one score file: status, reason, protocol, protocol_id; ok and unknown without it.

    ImageReward's protocol, where it scored, is part of both.
    """
    known = {"status": "ok", "reason": "", "protocol": {}, "protocol_id": ""}
    path, reward = folder / "protocol.json", folder / "image_reward.json"
    record = known | read_record(path)
    if theirs := read_record(reward):
        record["protocol"] = record["protocol"] | theirs["protocol"]
        record["protocol_id"] += f"+{theirs['protocol_id']}"
    if record["status"] not in ("ok", "failed"):
        raise ValueError(f"{path}: status {record['status']!r} is neither ok nor failed")
    return record | {"reason": record["reason"] or ""}


def check_protocols(results: Path, scored: list[tuple[Key, dict[str, Any]]]) -> None:
    """ValueError that names two score files unless all share one protocol id."""
    found: dict[str, Key] = {}
    for key, record in scored:
        found.setdefault(record["protocol_id"] or "none", key)
    if len(found) > 1:
        (first, key), (other, second), *_ = found.items()
        paths = [results / "scores" / path_of(*k) / "protocol.json" for k in (key, second)]
        raise ValueError(
            f"two protocols in one table: {paths[0]} has {first}, {paths[1]} has {other}; score both again"
        )


def check_planned(
    results: Path, methods: list[str], controls: list[str], prompts: list[str], seeds: int, planned: list[str]
) -> None:
    """ValueError that names the scores that are not those planned, if anything was planned."""

    def read(method: str, prompt: str, seed: int) -> list[str]:
        folder = results / "scores" / path_of(method, prompt, seed)
        files = [folder / "protocol.json", folder / "image_reward.json"]
        return [read_record(file).get("identity", "") for file in files if file.exists()]

    found = of_cells(read, methods, controls, prompts, seeds) if planned else []
    names = [(method, prompt) for method in [*methods, *controls] for prompt in prompts] if planned else []
    missing = {name for name in names if not read(*name, 0)}  # which is told elsewhere
    pairs = zip(names, found, planned, strict=True)
    stale = [" ".join(name) for name, one, other in pairs if one != other and name not in missing]
    if stale:
        more = f" and {len(stale) - 3} more" if len(stale) > 3 else ""
        raise ValueError(
            f"{results}: the scores of {', '.join(stale[:3])}{more} are not of the assets, views and scorers "
            "that are configured now: delete them (scores/METHOD/PROMPT), and the same command makes them"
        )


def check_alike(results: Path, keys: list[Key]) -> None:
    """ValueError that names two assets if their records tell of other conditions, as far as they do."""
    found: dict[tuple[str, Any], Path] = {}
    for key in keys:
        path = results / "assets" / path_of(*key) / "provenance.json"
        record = read_record(path)
        for name in ("numbers", "device", "threads"):
            if record.get(name) is not None:
                found.setdefault((name, record[name]), path)
    for name, what in (("numbers", "version of the trunk"), ("device", "device"), ("threads", "threads")):
        values = {value: path for (kind, value), path in found.items() if kind == name}
        if len(values) > 1:
            (one, first), (other, second), *_ = values.items()
            raise ValueError(
                f"two conditions in one table: {first} has {what} {one}, {second} {other}; "
                "make the assets of one of them again"
            )


def read_asset(results: Path, method: str, prompt: str, seed: int, cost: bool) -> pd.DataFrame:
    """Scores of one asset, ImageReward's too, and, if asked for and known, its cost and LOGGED: SCORES."""
    scores, asset = (results / room / path_of(method, prompt, seed) for room in ("scores", "assets"))
    frames = [read_scores(scores / "scores.csv")]
    if (reward := scores / "image_reward.csv").exists():
        frames.append(read_scores(reward))
    if cost:
        known = read_cost(asset) | read_log(asset)
        rows = [(0, metric, value) for metric, value in known.items()]
        frames.append(pd.DataFrame(rows, columns=frames[0].columns))
    return pd.concat(frames, ignore_index=True).assign(method=method, prompt=prompt, seed=seed)[SCORES]


def read_scores(path: Path) -> pd.DataFrame:
    """A file of scores: view, metric, value; ValueError, which names it, for another one."""
    try:
        return pd.read_csv(path)[["view", "metric", "value"]].astype({"value": float})
    except (ValueError, KeyError) as error:
        raise ValueError(f"{path} holds no scores: {' '.join(str(error).split())}") from error


def read_cost(folder: Path) -> dict[str, float]:
    """What one optimization cost and grew to, as known: COSTS and peak_memory (MiB, of a GPU if any).

    alone: 1 if no other work ran beside it, 0 if some did or nobody looked.
    """
    path = folder / "cost.json"
    figures = read_record(path)
    known = {metric: figures.get(metric) for metric in COSTS}
    known["alone"] = bool(known["alone"]) if figures else None
    known["peak_memory"] = figures.get("peak_gpu_memory_mib") or figures.get("peak_memory_mib")
    return {metric: float(value) for metric, value in known.items() if value is not None}


def read_log(folder: Path) -> dict[str, float]:
    """LOGGED of one optimization, as far as its train.csv has them."""
    try:
        log = pd.read_csv(folder / "train.csv", usecols=lambda name: name in LOGGED)
    except (FileNotFoundError, pd.errors.EmptyDataError):  # of a run without a step
        return {}
    return {str(name): float(log[name].mean()) for name in log}


def guidance_of(results: Path, method: str, prompts: Iterable[str], seeds: Iterable[int]) -> Guidance:
    """What these assets of a method or variant were made under; ValueError if they differ (read_guidance)."""
    return read_guidance(results / "assets" / path_of(method, *key) for key in product(prompts, seeds))


def read_device(results: Path, methods: list[str], keys: list[Key]) -> str:
    """The devices that the methods were optimized on, as their costs tell; empty if none does."""
    paths = [results / "assets" / path_of(*key) / "cost.json" for key in keys if key[0] in methods]
    found = {read_record(path).get("device", "") for path in paths}
    return ", ".join(sorted(found - {""}))


def read_features(
    run: Run, method: str, space: str, prompts: list[str], floor: str = ""
) -> list[np.ndarray] | None:
    """A method's features of one space, one array (n, D) a prompt with its seeds pooled; None if it has none.

    Failed assets are left out, or replaced by those of the control `floor`.
    """
    found = []
    for prompt in prompts:
        assets = run.assets[(run.assets["method"] == method) & (run.assets["prompt"] == prompt)]
        sources = [method if status == "ok" else floor for status in assets["status"]]
        pairs = [(source, int(seed)) for source, seed in zip(sources, assets["seed"], strict=True) if source]
        arrays = [read_array(run.results, source, prompt, seed, space) for source, seed in pairs]
        known = [array for array in arrays if array is not None]
        if not known or len(known) < len(arrays):
            return None
        found.append(np.concatenate(known))
    return found


def read_array(results: Path, method: str, prompt: str, seed: int, space: str) -> np.ndarray | None:
    """The features (n, D) of one asset's views, of seed 0 if it has no other; None without that space."""
    path = results / "scores" / path_of(method, prompt, seed) / "features.npz"
    if not path.exists():
        path = results / "scores" / path_of(method, prompt, 0) / "features.npz"
    with np.load(path) as stored:
        return stored[space] if space in stored.files else None


def read_reference(
    results: Path,
    space: str,
    prompts: list[str],
    texts: Mapping[str, str] | None = None,
    weights: Mapping[str, str] | None = None,
) -> list[np.ndarray] | None:
    """The reference features of one space, one array (n, D) a prompt; None if it has not that space.

    texts (prompt -> text), weights (model -> SHA-256): those of the scores that are compared with it. Raises
    FileNotFoundError without a reference, ValueError if a prompt is missing or it was made of others.
    """
    path = results / "reference" / "features.npz"
    with open_features(path) as stored:
        check_origin(read_origin(stored, path), path, texts or {}, weights or {})
        names = set(stored.files)
        if not any(name.startswith(f"{space}/") for name in names):
            return None
        missing = [prompt for prompt in prompts if f"{space}/{prompt}" not in names]
        if missing:
            raise ValueError(f"{path}: no {space} features of {', '.join(missing)}")
        return [stored[f"{space}/{prompt}"] for prompt in prompts]
