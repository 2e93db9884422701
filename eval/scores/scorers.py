"""All scores of one asset's views: a loop over the metrics that metrics.yaml names a class of.

CLIP gives the features of one feature space; Inception, where it is asked for, those of two more (one a
resize protocol). ImageReward has an environment and a program of its own, whose rows are appended.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol as Form

import numpy as np
import pandas as pd

from segmentdreamer.recipe.attempts import attempt, excuse
from segmentdreamer.records import content_digest, shipped, write_arrays, write_json, write_table

from ..metrics import Measure, check_columns, columns, measures
from ..protocol import Protocol, scorer_digests
from ..views.archive import composite_on, read_asset, read_failure
from ..views.remarks import Setting, judge
from ..views.surface import Surface
from .asset import VIEW_WORDS, Asset, Metrics, Models, PromptTexts, embed_prompts
from .clip import SQUARE, embed_images, fills, load_clip

COLUMNS = ["view", "metric", "value"]


class Metric(Form):
    """What a class of metrics.yaml gives: made of Models, PromptTexts and, if it needs weights, their folder.

    It may have `remark(text)`: what is to be known of how it reads a prompt, or nothing.
    """

    @property
    def protocol(self) -> dict[str, str]:
        """Metric -> how it is measured; of several alike, one speaks for all."""

    def __call__(self, asset: Asset) -> Metrics:
        """Values of its columns, those that it has."""


@dataclass(frozen=True)
class Scorers:
    """The metrics that apply to a prompt table, with the protocol that says how."""

    models: Models
    prompts: PromptTexts
    metrics: list[tuple[Measure, Metric]]
    protocol: Protocol


def load_models(
    clip: str,
    clip_weights: str,
    reward: Path | None = None,
    inception: Path | None = None,
    view_words: Sequence[str] = VIEW_WORDS,
    device: str = "cpu",
    orbit: str = "",
) -> Models:
    """Load the models; FileNotFoundError or ValueError tell in one line what is missing.

    reward: folder of a ToyReward. inception: weights of FID's network. orbit: how the views were taken, where
    that is known: scores of other views are not compared with these.
    """
    model, network = load_clip(clip, clip_weights, device), None
    if inception:
        from .inception import load_inception

        network = load_inception(inception, device)
    weights = scorer_digests(clip_weights, inception, {})
    words, folders = tuple(dict.fromkeys(view_words)), {"toy_reward": reward} if reward else {}
    return Models(model, network, folders, words, device, orbit, weights)


def prepare(models: Models, table: pd.DataFrame) -> Scorers:
    """The metrics of a prompt table (see asset.embed_prompts), their models loaded."""
    check_columns()
    prompts, metrics = embed_prompts(models, table), []
    texts, weights = feature_protocols(models), dict(models.weights)
    for measure in measures():
        folder = models.folders.get(measure.name) or (shipped(measure.weights) if measure.weights else None)
        lacking = {"weights": folder is None, "spec": not any(prompts.specs)}
        if any(lacking.get(need) for need in measure.needs):
            continue
        if folder and not Path(folder).is_dir():
            raise FileNotFoundError(f"{measure.columns[0]}: no folder {folder} of its weights")
        metric: Metric = measure.load(models, prompts, *([folder] if folder else []))
        if folder:
            weights[measure.name] = content_digest(folder)
        metrics.append((measure, metric))
        texts |= metric.protocol
    ordered = {name: texts[name] for name in columns() if name in texts}
    ordered |= {"views": models.orbit} if models.orbit else {}
    return Scorers(models, prompts, metrics, Protocol(ordered, weights))


def feature_protocols(models: Models) -> dict[str, str]:
    """How the features are taken that distances rest on, by a metric of each kind."""
    how = models.clip.how
    found = {"fid_clip": f"image features, not normalized; {how}", "cmmd": f"unit image features; {how}"}
    for resize in ("clean", "pytorch") if models.inception else ():
        found[f"fid_{resize}"] = f"Inception-v3 2015-12-05 pool3, resize {resize} {SQUARE}, over white"
    return found


def text_notes(scorers: Scorers) -> list[tuple[str, str]]:
    """(prompt id, note) for every prompt that a text model does not read to its end."""
    notes, prompts = [], scorers.prompts
    for name, text, cut in zip(prompts.ids, prompts.texts, prompts.cut, strict=True):
        if cut and fills(scorers.models.clip, text):
            notes.append((name, "the prompt fills CLIP's context: what goes beyond it is not read"))
        if cut:
            notes.append((name, "no janus_index: the view words do not fit into CLIP's context"))
        remarks = [metric.remark(text) for _, metric in scorers.metrics if hasattr(metric, "remark")]
        notes += [(name, remark) for remark in remarks if remark]
    return notes


def score_asset(
    scorers: Scorers, views: np.ndarray, prompt_id: str, truth: Path | None = None, ring: bool = True,
    surface: Surface | None = None,
) -> tuple[pd.DataFrame, Metrics]:  # fmt: skip
    """All metrics of one asset as rows (view, metric, value), and its features by feature space.

    views: (V, H, W, 4) uint8, straight alpha. truth: folder with views.zip and two_faced.zip of the true
    scene. ring: whether the views go once around in even steps. surface: what lies behind them. A metric of
    the whole asset has one row, of view 0. Raises ValueError for an unknown prompt.
    """
    prompts, watch = scorers.prompts, scorers.models.watch
    if prompt_id not in prompts.ids:
        raise ValueError(f"no prompt {prompt_id!r} in the prompt table")
    with watch.part("compositing"):
        images = composite_on(scorers.models.device, views)
    features = features_of(scorers.models, images)
    asset = Asset(
        views, images, features, prompts, prompts.ids.index(prompt_id), truth, ring, surface=surface
    )
    offered = asset.offers()
    for measure, metric in scorers.metrics:
        if measure.needs <= offered:
            with watch.part(measure.name):
                found = metric(asset)
            if unknown := set(found) - set(measure.columns):
                raise ValueError(f"{measure.path} gives {', '.join(sorted(unknown))}, not in metrics.yaml")
            asset.scores.update(found)
    frames = [
        pd.DataFrame({"view": np.arange(len(values)), "metric": name, "value": values})
        for name, values in asset.scores.items()
    ]
    return pd.concat(frames, ignore_index=True), features


def score_archive(
    scorers: Scorers,
    views: Path,
    prompt_id: str,
    out: Path,
    setting: Setting,
    identity: str = "",
    source: Path | None = None,
) -> None:
    """Score one archive of views and write scores.csv, features.npz and protocol.json into `out`.

    source: the folder or archive that the views came from, which tells how they were taken. Of a plan
    (identity), what cannot be scored is a failed asset; else an error.
    """
    scores, features, notes = pd.DataFrame(columns=COLUMNS), Metrics(), list[str]()
    with attempt(out / ".attempt", identity) if identity else nullcontext("") as failed:
        try:
            if not (failed := failed or read_failure(views) or ""):
                scores, features, notes = measure_views(scorers, source or views, prompt_id, setting)
        except Exception as error:
            if not identity:
                raise
            failed = excuse(error)
            print(f"{views}: failed: {failed}", file=sys.stderr)
        notes = [*notes, *(note for name, note in text_notes(scorers) if name == prompt_id)]
        for note in notes:
            print(f"note: {views}: {note}", file=sys.stderr)
        text = dict(zip(scorers.prompts.ids, scorers.prompts.texts, strict=True)).get(prompt_id)
        record = scorers.protocol.record(views, failed)
        record |= {"prompt": text, "notes": notes, "identity": identity}
        out.mkdir(parents=True, exist_ok=True)
        arrays = {space: values.astype(np.float32) for space, values in features.items()}
        write_arrays(out / "features.npz", arrays)
        write_json(out / "protocol.json", record)
        write_table(out / "scores.csv", scores)


def measure_views(
    scorers: Scorers, views: Path, prompt_id: str, setting: Setting
) -> tuple[pd.DataFrame, Metrics, list[str]]:
    """The scores and features of an archive of views, and what is to be said of them."""
    with scorers.models.watch.part("reading"):
        asset = read_asset(views)
    whole, notes = judge(asset, views, views.parent, setting)
    truth = setting.truth / prompt_id if setting.truth else None
    return *score_asset(scorers, asset.rgba, prompt_id, truth, whole, asset.surface), notes


def features_of(models: Models, images: np.ndarray) -> Metrics:
    """Features by feature space of RGB images (V, H, W, 3) uint8: of the CLIP, and of Inception if there."""
    with models.watch.part("clip"):
        features = {"clip": embed_images(models.clip, images)}
    if models.inception is not None:
        from .inception import embed

        with models.watch.part("inception"):
            for protocol in ("clean", "pytorch"):
                features[f"inception_{protocol}"] = embed(models.inception, images, f"fid_{protocol}")
    return features
