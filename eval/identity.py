"""What views, scores and samples are: digests of all that their numbers depend on (see segmentdreamer.identity)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from segmentdreamer.identity import NUMBERS, describe_prior
from segmentdreamer.records import content_digest, file_digest, run_key, shipped

from .metrics import measures
from .protocol import HERE, scorer_digests

# Versions of the numbers of rendered views, and of what all scores share (features, loading, compositing): raise
# one with every change that moves its numbers by more than rounding (tests/eval/test_identity.py tells). The
# prior's samples have the trunk's; a metric's own file counts by its content.
VIEWS = 1
SCORES = 1
UNREAD = ("init_prompt", "camera")  # columns of the prompt table that no score depends on


def of_views(asset: str, view: Mapping[str, Any], device: str) -> str:
    """Of an asset's views. view: the options of its cameras."""
    return run_key(VIEWS, asset, dict(view), device)


def of_truth(row: Mapping[str, Any], view: Mapping[str, Any]) -> str:
    """Of the true scene's views of a prompt: by the columns that say what is in it."""
    return run_key(
        VIEWS, "truth", {key: row.get(key, "") for key in ("class", "color", "second")}, dict(view)
    )


def of_samples(
    prior: Mapping[str, Any], draw: Mapping[str, Any], count: int, device: str, stream: str
) -> str:
    """What the prior's samples of all prompts share. prior: the section of the settings; draw: steps, omega."""
    return run_key(NUMBERS, describe_prior(prior), draw["steps"], draw["omega"], count, device, stream)


def of_features(samples: str, prompt_id: str, text: str, scorers: Mapping[str, str] | None = None) -> str:
    """Of one prompt's samples or, by these scorers, of their features."""
    return run_key(samples, prompt_id, text, *([SCORES, dict(scorers)] if scorers else []))


def of_scoring(
    clip: str, clip_weights: str, inception: str, reward: str, words: Iterable[str],
    rows: Iterable[Mapping[str, Any]], *conditions: Any,
) -> str:  # fmt: skip
    """What the scores of a run share: scorers, code of metrics, and the texts that some metrics rank among.

    rows: the prompt table. conditions: whether true scenes are known, kind of device.
    """
    weights = scorer_digests(clip_weights, inception, {"toy_reward": reward} if reward else {})
    for measure in measures():
        if measure.weights and Path(measure.weights).is_dir():
            weights.setdefault(measure.name, content_digest(Path(measure.weights)))
    code = {m.path: file_digest(HERE.joinpath(*m.path.partition(":")[0].split(".")).with_suffix(".py"))
            for m in measures()}  # fmt: skip
    table = [
        {k: v for k, v in row.items() if k not in UNREAD and not k.startswith("category")} for row in rows
    ]
    return run_key(SCORES, clip, weights, code, [*words], table, conditions)


def of_scores(views: str, scoring: str, prompt_id: str) -> str:
    """Of one asset's scores."""
    return run_key(views, scoring, prompt_id)


def of_reward(views: str, text: str, weights: str, device: str) -> str:
    """Of one asset's ImageReward."""
    code = file_digest(HERE / "scores" / "image_reward.py")
    return run_key(SCORES, views, text, code, content_digest(shipped(weights)), device)
