"""What every product of a run is, as the rules ask for it: by names of method, prompt and seed.

A product whose inputs are not there yet (weights to be fetched, a cloud to be made) is `unknown` in the plan;
Snakemake asks again before it runs the job.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from eval import identity
from eval.metrics import control_kind
from eval.variants import method_of, overrides
from segmentdreamer.recipe.identity import (
    NUMBERS,
    Recipe,
    describe_prior,
    describe_start,
    located_digest,
    read_recipe,
)
from segmentdreamer.recipe.settings import read_settings
from segmentdreamer.records import content_digest, run_key, shipped

UNKNOWN = "unknown"
FOREIGN = "foreign"  # an asset that a rule of one's own brings: its file is the rules' input
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Identities:
    """The products of one configuration."""

    config: Mapping[str, Any]
    rows: list[Row]  # the prompt table
    registry: Mapping[str, Mapping[str, Any]]
    primary: str  # the method whose assets are shuffled
    device: str
    overrides: list[str]  # the configuration's, and where clouds lie that the workflow makes

    @cached_property
    def prompts(self) -> dict[str, Row]:
        return {row["id"]: row for row in self.rows}

    @cached_property
    def following(self) -> dict[str, str]:
        """The prompt whose views stand in for a prompt's in the shuffled control."""
        ids = list(self.prompts)
        return dict(zip(ids, [*ids[1:], *ids[:1]], strict=True))

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The generation's settings under the overrides."""
        return read_settings(self.config["generation"], self.overrides)

    @cached_property
    def shared(self) -> dict[str, Any]:
        return {}

    def once(self, name: str, make: Callable[..., Any], *given: Any) -> Any:
        """What many products share, computed once; what a missing file hinders, when that is there."""
        found = self.shared.get(name)
        if isinstance(found, FileNotFoundError) and os.path.exists(found.filename):
            found = None
        if found is None:
            try:
                found = make(*given)
            except FileNotFoundError as error:
                found = error
            self.shared[name] = found
        if isinstance(found, FileNotFoundError):
            raise found
        return found

    def recipe(self, method: str) -> Recipe:
        """Of a method or variant."""
        name, chosen = method_of(method), [*self.overrides, *overrides(method)]
        conditions = (self.device, self.config["threads"])
        return read_recipe(self.config["generation"], name, self.registry[name], chosen, *conditions)

    def asset(self, method: str, prompt: str, seed: int) -> str:
        row = self.prompts[prompt]
        if method == "sphere":
            return run_key(NUMBERS, method)
        if method == "start":
            start, file = describe_start(self.settings.get("start") or {})
            return run_key(NUMBERS, start, prompt, seed, located_digest(file, prompt, seed))
        if "class" not in self.registry.get(method_of(method), {}):
            return FOREIGN
        return self.once(f"recipe {method}", self.recipe, method).identity(
            row["prompt"], prompt, row["camera"], seed
        )

    def views(self, method: str, prompt: str, seed: int) -> str:
        kind, view = control_kind(method), self.config["views"]
        if kind == "shuffled":
            return self.views(self.primary, self.following[prompt], seed)
        if kind == "truth":
            return identity.of_truth(self.prompts[prompt], view)
        if kind == "prior":
            samples = self.samples(f"views-{seed}", view["count"])
            return identity.of_features(samples, prompt, self.prompts[prompt]["prompt"])
        return identity.of_views(self.asset(method, prompt, seed), view, self.device)

    def samples(self, stream: str, count: int) -> str:
        """What samples of the prior share."""
        given = (self.prior(), self.config["reference"], count, self.device, stream)
        return self.once(stream, identity.of_samples, *given)

    def prior(self) -> str:
        return self.once("prior", lambda: run_key(NUMBERS, describe_prior(self.settings["prior"])))

    def shard(self, prompt: str) -> str:
        """Of the features of a prompt's samples."""
        samples = self.samples("reference", self.config["reference"]["count"])
        clip, inception = self.config["clip"]["weights"], self.config["inception"]
        scorers = self.once("scorers", lambda: run_key(identity.scorer_digests(clip, inception, {})))
        return identity.of_features(samples, prompt, self.prompts[prompt]["prompt"], scorers)

    def reference(self) -> str:
        return run_key([self.shard(prompt) for prompt in self.prompts])

    def scoring(self) -> str:
        """What the scores of a run share."""
        config, words = self.config, self.settings.get("prompts", {}).get("views", [])
        return identity.of_scoring(
            config["clip"]["name"], config["clip"]["weights"], config["inception"], config["reward"],
            words, self.rows, bool(config["truth"]), self.device,
        )  # fmt: skip

    def scores(self, method: str, prompt: str, seed: int) -> str:
        scoring = self.once("scoring", self.scoring)
        return identity.of_scores(self.views(method, prompt, seed), scoring, prompt)

    def reward(self, method: str, prompt: str, seed: int) -> str:
        weights = self.once("reward", lambda: content_digest(self.config["image_reward"]))
        text = self.prompts[prompt]["prompt"]
        return identity.of_reward(self.views(method, prompt, seed), text, weights, self.device)

    def cells(
        self, methods: Sequence[str], controls: Sequence[str], prompts: Sequence[str], seeds: int
    ) -> list[str]:
        """What a table of these should be made of (see identity.of_cells)."""
        kinds = [self.scores, *([self.reward] if self.config["image_reward"] else [])]
        return identity.of_cells(
            lambda *names: [known(kind, *names) for kind in kinds], methods, controls, prompts, seeds
        )

    def cloud(self, prompt: str, seed: int) -> str:
        """Of the cloud that Point-E makes."""
        files: list[Path | str] = [
            "weights/point-e",
            *(shipped(f"segmentdreamer/start/{name}.py") for name in ("point_e", "clouds")),
        ]
        parts = self.once("clouds", lambda: run_key(*map(content_digest, files)))
        return run_key(parts, self.prompts[prompt]["init_prompt"], seed, self.device)


def known(identify: Callable[..., str], *names: Any) -> str:
    """An identity, or `unknown` where a file of those that it rests on is not there yet."""
    try:
        return identify(*names)
    except FileNotFoundError:
        return UNKNOWN


def of_prompts(
    identify: Callable[[str, str, int], str], prompts: Iterable[str], method: str = ""
) -> Callable[[Any], list[str]]:
    """A function of wildcards: the identities of a job's products, of a method that is no wildcard."""
    return lambda wildcards: [
        known(identify, method or wildcards.method, name.format(**wildcards), int(wildcards.seed))
        for name in prompts
    ]


def of_shards(products: Identities, prompts: Iterable[str]) -> Callable[[Any], list[str]]:
    """The same of the reference set's shards."""
    return lambda wildcards: [known(products.shard, name.format(**wildcards)) for name in prompts]
