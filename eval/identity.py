"""What views, scores and samples are: digests of all that their numbers depend on, as an asset has one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from segmentdreamer.records import content_digest, file_digest, folder_digest, run_key

from .metrics import measures
from .protocol import HERE, scorer_digests, scoring_files

# Versions of the numbers of rendered views, and of what all scores share (SHARED): raise one with a change
# that moves its numbers by more than rounding (tests/eval/test_numbers.py tells). The prior's samples have
# the trunk's; a metric's own files count by their content.
VIEWS = 1
SCORES = 1
SHARED = ("scorers", "asset", "clip", "inception")  # modules of eval.scores that all scores rest on
READ = ("id", "prompt", "symmetric", "class", "color", "second")  # what scores depend on of the prompt table


def of_views(asset: str, view: Mapping[str, Any], device: str) -> str:
    """Of an asset's views. view: the options of its cameras."""
    return run_key(VIEWS, asset, dict(view), device)


def of_truth(row: Mapping[str, Any], view: Mapping[str, Any]) -> str:
    """Of the true scene's views of a prompt: by the columns that say what is in it."""
    return run_key(VIEWS, "truth", [row.get(key, "") for key in READ[3:]], dict(view))


def of_samples(prior: str, draw: Mapping[str, Any], count: int, device: str, stream: str) -> str:
    """What samples of a prior share. draw: steps, omega."""
    return run_key(prior, draw["steps"], draw["omega"], count, device, stream)


def of_features(samples: str, prompt_id: str, text: str, scorers: str = "") -> str:
    """Of one prompt's samples or, by these scorers, of their features."""
    return run_key(samples, prompt_id, text, *([SCORES, scorers] if scorers else []))


def of_scoring(
    clip: str,
    clip_weights: str,
    inception: str,
    reward: str,
    words: Iterable[str],
    rows: Iterable[Mapping[str, Any]],
    *conditions: Any,
) -> str:
    """What the scores of a run share: scorers, code of metrics, and the texts that some metrics rank among.

    rows: the prompt table. conditions: whether true scenes are known, kind of device.
    """
    weights = scorer_digests(clip_weights, inception, {"toy_reward": reward} if reward else {})
    for measure in measures():
        if measure.weights and Path(measure.weights).is_dir():
            weights.setdefault(measure.name, content_digest(Path(measure.weights)))
    mine = [path for path in scoring_files() if "scores" in path.parts and path.stem not in SHARED]
    code = [(measure.path, sorted(measure.needs)) for measure in measures()], folder_digest(HERE, mine)
    table = [[row.get(key, "") for key in READ] for row in rows]
    return run_key(SCORES, clip, weights, code, [*words], table, conditions)


def of_scores(views: str, scoring: str, prompt_id: str) -> str:
    """Of one asset's scores."""
    return run_key(views, scoring, prompt_id)


def of_reward(views: str, text: str, weights: str, device: str) -> str:
    """Of one asset's ImageReward. weights: the digest of their folder."""
    return run_key(SCORES, views, text, file_digest(HERE / "scores" / "image_reward.py"), weights, device)


def of_cells(
    identify: Callable[[str, str, int], list[str]],
    methods: Iterable[str],
    controls: Iterable[str],
    prompts: Sequence[str],
    seeds: int,
) -> list[str]:
    """A digest for each method and prompt, in their order, over its seeds; of a control its first alone.

    identify: the identities of the scores of an asset.
    """
    rows = [*((name, range(seeds)) for name in methods), *((name, range(1)) for name in controls)]
    return [
        run_key([identify(method, prompt, seed) for seed in mine])[:8]
        for method, mine in rows
        for prompt in prompts
    ]
