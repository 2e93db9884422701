"""How well each pathology metric finds its defect: ROC AUC on planted defects.

`python -m toybox.calibrate_pathologies` draws objects of all classes and colors, plants every defect in
every strength, scores the views as any asset's, prints the table of metric against defect and writes
toybox/models/pathologies.json. Healthy are each object's true scene and its worn copy.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import segmentdreamer.torchvision_guard  # noqa: F401  (before open_clip)

import numpy as np

from eval.archive import composite
from eval.clip_score import Clip, embed_images, embed_texts, load_clip
from eval.pathology import detail, score_pathologies
from toybox import data, defects
from toybox.evaluate_scorers import rounded
from toybox.render import render
from toybox.scenes import CLASSES, Spec, all_specs, primitives
from toybox.truth import render_orbit

MODELS = Path(__file__).parent / "models"
WORSE = {  # metric -> whether more or less of it is worse
    "janus_index": 1, "consistency": -1, "over_exposure": 1, "smoothing": 1, "detail": -1, "floaters": 1,
    "saturation": 1,
}  # fmt: skip
OWN = {  # metric -> the defect that it is there to find; saturation describes
    "janus_index": "two_faced", "consistency": "flicker", "over_exposure": "over_exposed",
    "smoothing": "blurred", "detail": "blurred", "floaters": "floaters",
}  # fmt: skip
REFERENCES = 24  # pictures an object, whose mean detail is the reference's
Values = dict[str, dict[str, float]]  # look -> metric -> mean over views


def draw_specs(n: int, rng: np.random.Generator) -> list[Spec]:
    """n specs, the classes in turn, no spec twice while its class has others."""
    pools = {cls: [spec for spec in all_specs() if spec.cls == cls] for cls in CLASSES}
    orders = {cls: rng.permutation(len(pool)) for cls, pool in pools.items()}
    chosen = []
    for i in range(n):
        cls, turn = CLASSES[i % len(CLASSES)], i // len(CLASSES)
        chosen.append(pools[cls][orders[cls][turn % len(pools[cls])]])
    return chosen


def looks(
    spec: Spec, worn: bool, views: int, rng: np.random.Generator, size: int = 64
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (name, views) of one object: the two healthy ones, then each defect at each strength.

    The defects are planted in the worn scene if `worn`, else in the true one.
    """
    rows = primitives(spec)
    finish = defects.soften(rng)
    scenes = {"true": rows, "worn": defects.wear(rows, rng)}

    def look(scene: np.ndarray, soft: bool = worn) -> np.ndarray:
        seen = render_orbit(scene, views, 0.0, size)
        return finish(seen) if soft else seen

    healthy = {name: look(scene, name == "worn") for name, scene in scenes.items()}
    yield from healthy.items()
    base = "worn" if worn else "true"
    for defect in defects.DEFECTS:
        for level, strength in enumerate(defects.STRENGTHS):
            planted = defects.plant(defect, level, scenes[base], healthy[base], look, rng)
            yield f"{defect} {strength}", planted


def measure_object(number: int, spec: Spec, views: int, seed: int) -> Values:
    """All metrics of all looks of object `number`."""
    rng = np.random.default_rng([seed, number])
    clip = clip_once()
    words = [data.view_caption(spec.caption(), view) for view in data.VIEWS]
    texts = embed_texts(clip, words)
    viewmats, Ks = data.draw_cameras(rng.uniform(-180, 180, REFERENCES), rng)
    reference = float(np.nanmean(detail(render([primitives(spec)] * REFERENCES, viewmats, Ks, 64))))
    found = {}
    for name, rgba in looks(spec, number // len(CLASSES) % 2 == 1, views, rng):
        embedded = embed_images(clip, composite(rgba))
        scores = score_pathologies(rgba, embedded, texts, reference_detail=reference)
        found[name] = {metric: float(np.nanmean(values)) for metric, values in scores.items()}
    return found


_CLIP: list[Clip] = []


def clip_once() -> Clip:
    """The toybox CLIP, loaded once a process, on one thread."""
    if not _CLIP:
        import torch

        torch.set_num_threads(1)
        _CLIP.append(load_clip("toybox-clip", str(MODELS / "clip" / "model.safetensors")))
    return _CLIP[0]


def wins(sick: np.ndarray, healthy: np.ndarray) -> np.ndarray:
    """Of object i's sick look over object j's healthy ones, (n, n): share of wins, ties half.

    sick: (n,), healthy: (n, h), larger is worse. The mean over all i and j is the ROC AUC.
    """
    margin = sick[:, None, None] - healthy[None]
    return ((margin > 0) + 0.5 * (margin == 0)).mean(-1)


def interval(table: np.ndarray, seed: int, resamples: int = 1000) -> list[float]:
    """95 % bootstrap interval of the AUC of a table of wins (n, n), objects drawn with replacement."""
    n = len(table)
    weights = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), resamples) / n  # (resamples, n)
    aucs = np.einsum("ri,ij,rj->r", weights, table, weights)
    return np.quantile(aucs, [0.025, 0.975]).tolist()


def calibrate(measured: list[Values], seed: int) -> dict:
    """Of every metric: AUC and median of each defect and strength, and how well it finds its own.

    For its own defect also the AUC's interval, and `apart`: the AUC of the clear strength against the other
    defects' clear strength, instead of healthy objects.
    """

    def column(look: str, metric: str) -> np.ndarray:
        return WORSE[metric] * np.array([values[look][metric] for values in measured])

    found: dict[str, dict] = {}
    for metric in WORSE:
        healthy = np.stack([column("true", metric), column("worn", metric)], axis=1)
        sick = {d: {s: column(f"{d} {s}", metric) for s in defects.STRENGTHS} for d in defects.DEFECTS}
        found[metric] = {
            "healthy_quantiles": np.quantile(WORSE[metric] * healthy, [0.05, 0.5, 0.95]).tolist(),
            "median": {d: {s: float(np.median(WORSE[metric] * v)) for s, v in each.items()}
                       for d, each in sick.items()},
            "auc": {d: {s: float(wins(v, healthy).mean()) for s, v in each.items()}
                    for d, each in sick.items()},
        }  # fmt: skip
        if own := OWN.get(metric):
            others = np.stack([each["clear"] for d, each in sick.items() if d != own], axis=1)
            found[metric] |= {
                "own": own,
                "interval": {s: interval(wins(v, healthy), seed) for s, v in sick[own].items()},
                "apart": float(wins(sick[own]["clear"], others).mean()),
            }
    return found


def table(found: dict) -> str:
    """The AUCs as markdown: a row a metric, mild / clear / strong a defect, its own in bold."""
    columns = ["metric", *defects.DEFECTS, "own against other defects"]
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    for metric, figures in found.items():
        cells = []
        for defect in defects.DEFECTS:
            text = " / ".join(f"{figures['auc'][defect][s]:.2f}" for s in defects.STRENGTHS)
            cells.append(f"**{text}**" if figures.get("own") == defect else text)
        cells.append(f"{figures['apart']:.2f}" if "apart" in figures else "")
        lines.append(f"| {metric} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Plant defects in toybox scenes and see which metric finds them."
    )
    parser.add_argument("--objects", type=int, default=24, help="default: 24, three of each class")
    parser.add_argument("--views", type=int, default=60, help="views a ring (default: 60)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=MODELS / "pathologies.json")
    args = parser.parse_args()
    if args.objects < 2 or args.views < 8 or args.jobs < 1:
        sys.exit("error: --objects must be at least 2, --views at least 8 and --jobs at least 1")
    os.environ.setdefault("NUMBA_NUM_THREADS", "1")
    specs = draw_specs(args.objects, np.random.default_rng(args.seed))
    work = [range(args.objects), specs, [args.views] * args.objects, [args.seed] * args.objects]
    with ProcessPoolExecutor(args.jobs, mp_context=get_context("spawn")) as pool:
        measured = list(pool.map(measure_object, *work))
    found = calibrate(measured, args.seed)
    setting = {"objects": args.objects, "healthy": 2 * args.objects, "views": args.views, "seed": args.seed}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(setting | {"metrics": rounded_lists(found)}, indent=2) + "\n")
    print(f"AUC, {args.objects} objects a defect against {2 * args.objects} healthy: mild / clear / strong")
    print(table(found))


def rounded_lists(figures: Any) -> Any:
    """Every float, also in lists, to four digits."""
    if isinstance(figures, dict):
        return {name: rounded_lists(value) for name, value in figures.items()}
    return [rounded(x) for x in figures] if isinstance(figures, list) else rounded(figures)


if __name__ == "__main__":
    main()
