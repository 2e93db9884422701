"""Looks of toybox objects, and what every metric says of them: what the pathologies are calibrated on.

A look is a ring of views on mini's own orbit (`views` of its configuration), of a true scene, a worn one, one
with a planted defect, or of a finished asset, whose true scene its prompt names.
"""

import os
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import segmentdreamer.torchvision_guard  # noqa: F401  (before open_clip)

import numpy as np

from eval.scales import read_scale
from eval.scores import ground_truth
from eval.scores.clip import Clip, embed_images, embed_texts, load_clip
from eval.scores.clip_score import clip_scores, text_image_metrics
from eval.scores.pathologies.consistency import consistency
from eval.scores.pathologies.janus import LEAST, withhold
from eval.scores.pathology import detail, score_pathologies
from eval.views.archive import composite
from eval.views.render import render
from toybox import data, defects
from toybox.scenes import CLASSES, Spec, all_specs, primitives, two_faced
from toybox.truth import read_specs, render_orbit

SCALE = "mini"
SPARSER = (60, 40)  # views of rings whose consistency is measured too
EVERY = 10  # views apart: detail_error of these alone, since it costs as much as all else
Values = dict[str, float]  # metric -> mean over views


@cache
def scale() -> dict[str, Any]:
    return read_scale(SCALE)


@cache
def clip_once() -> Clip:
    """The scale's CLIP, loaded once a process, on one thread."""
    import torch

    torch.set_num_threads(1)
    return load_clip(scale()["clip"]["name"], scale()["clip"]["weights"])


@cache
def embed(texts: Sequence[str]) -> np.ndarray:
    return embed_texts(clip_once(), texts)


def draw_specs(n: int, rng: np.random.Generator) -> list[Spec]:
    """n specs, the classes in turn, no spec twice while its class has others."""
    pools = {cls: [spec for spec in all_specs() if spec.cls == cls] for cls in CLASSES}
    orders = {cls: rng.permutation(len(pool)) for cls, pool in pools.items()}
    chosen = []
    for i in range(n):
        cls, turn = CLASSES[i % len(CLASSES)], i // len(CLASSES)
        chosen.append(pools[cls][orders[cls][turn % len(pools[cls])]])
    return chosen


def halves(number: int) -> tuple[bool, bool]:
    """Whether object `number` chooses the gates (else judges), and whether its defects are planted worn."""
    place, turn = number % len(CLASSES), number // len(CLASSES)
    return (place + turn) % 2 == 0, (place // 2 + turn // 2) % 2 == 1


def look_at(scene: np.ndarray) -> np.ndarray:
    """A scene's ring of views (V, H, W, 4) uint8 on the scale's orbit."""
    view = scale()["views"]
    return render_orbit(scene, view["count"], view["elevation"], view["size"], view["radius"], view["fov"])


def looks(spec: Spec, worn: bool, rng: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (name, views) of one object: the healthy ones, then each defect, in the worn scene if `worn`."""
    rows = primitives(spec)
    finish = defects.soften(rng)
    scenes = {"true": rows, "worn": defects.wear(rows, rng)}

    def look(scene: np.ndarray, soft: bool = worn) -> np.ndarray:
        return finish(look_at(scene)) if soft else look_at(scene)

    healthy = {name: look(scene, name == "worn") for name, scene in scenes.items()}
    yield from healthy.items()
    base = "worn" if worn else "true"
    for defect in defects.DEFECTS:
        for level, strength in enumerate(defects.STRENGTHS):
            planted = defects.plant(defect, level, scenes[base], healthy[base], look, rng)
            yield f"{defect} {strength}", planted


def measure(views: np.ndarray, spec: Spec, truth: np.ndarray) -> Values:
    """All metrics of a look; truth: the true scene's views.

    `janus_index` as if nothing were withheld, and whether it would be; `detail_error` as a share of the
    truth's detail; `consistency_N` of a ring of N views. The prompt ranks among the scale's own prompts.
    """
    others = [other.caption() for other in read_specs(Path(scale()["prompts"])).values()]
    captions = tuple(dict.fromkeys([spec.caption(), *others]))
    embedded = embed_images(clip_once(), composite(views))
    found = text_image_metrics(clip_scores(embedded, embed(captions)), 0)
    found |= score_pathologies(
        views, embedded, embed(tuple(data.view_caption(spec.caption(), word) for word in data.VIEWS))
    )
    found["janus_withheld"] = withhold(found, LEAST[scale()["clip"]["name"]])["janus_withheld"]
    sharp = np.nanmean(detail(truth[::EVERY]))
    found["detail_error"] = ground_truth.detail_error(views[::EVERY], truth[::EVERY]) / sharp
    for count in SPARSER:
        found[f"consistency_{count}"] = np.array([consistency(views[:: max(1, len(views) // count)])])
    return {metric: float(np.nanmean(values)) for metric, values in found.items()}


def measure_object(number: int, spec: Spec, seed: int) -> dict[str, Values]:
    """All metrics of all looks of object `number`."""
    rng = np.random.default_rng([seed, number])
    found: dict[str, Values] = {}
    for name, views in looks(spec, halves(number)[1], rng):
        if name == "true":
            truth = views
        found[name] = measure(views, spec, truth)
    return found


def measure_asset(asset: Path, spec: Spec) -> Values:
    """All metrics of a finished asset, and `janus`: the share of telling views nearer to two faces."""
    views, _ = render(asset, scale()["views"], "cpu")
    truth, double = look_at(primitives(spec)), look_at(two_faced(primitives(spec)))
    return measure(views, spec, truth) | {
        "janus": float(np.nanmean(ground_truth.janus(views, truth, double)))
    }
