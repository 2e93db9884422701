"""What a run takes, as arithmetic: jobs by rule, GPU-hours and bytes by stage, from the numbers of its size.

Figures: workflow/config/costs.yaml, each with its source, and arithmetic.yaml, counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from batches import jobs

REFERENCE_SIDE = 512  # pixels that arithmetic.yaml is counted at

Costs = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Scope:
    """The numbers of a run that its costs depend on."""

    methods: dict[str, bool]  # method: whether it runs under Perp-Neg
    prompts: int
    seeds: int
    steps: int
    batch: int
    side: int  # pixels of a training view
    views: int
    view_side: int
    reference: int  # images in all
    reference_steps: int
    shards: int
    assets_per_job: int
    scores_per_job: int
    truth: bool
    point_e: bool
    image_reward: bool
    gpu: bool  # whether jobs ask for one

    @property
    def assets(self) -> int:
        """Assets that methods make."""
        return len(self.methods) * self.prompts * self.seeds


@dataclass(frozen=True)
class Stage:
    """One stage of a run: its jobs by rule, GPU-hours and bytes that stay."""

    jobs: dict[str, int]
    gpu_hours: float = 0.0
    bytes: float = 0.0


@dataclass(frozen=True)
class Plan:
    """All stages in their order, and what must be fetched first."""

    stages: dict[str, Stage]
    download: float = 0.0
    missing: dict[str, list[str]] = field(default_factory=dict)

    @property
    def jobs(self) -> dict[str, int]:
        """Jobs by rule."""
        return {rule: n for stage in self.stages.values() for rule, n in stage.jobs.items() if n}

    @property
    def gpu_hours(self) -> float:
        return sum(stage.gpu_hours for stage in self.stages.values())

    @property
    def bytes(self) -> float:
        return sum(stage.bytes for stage in self.stages.values())


def estimate(scope: Scope, costs: Costs, rates: Mapping[str, Any]) -> Plan:
    """Jobs, GPU-hours and bytes of every stage.

    rates: TFLOP/s that the device reaches in a step of an optimization (`step`) and in `sampling` images.
    """
    counts, seconds = count_jobs(scope), costs["seconds"]

    def stage(busy: float, amount: float, *rules: str) -> Stage:
        jobs = {rule: counts[rule] for rule in rules if counts.get(rule)}
        start_up = seconds["start_up"] * sum(jobs.values())
        return Stage(jobs, (busy + start_up) / 3600, amount)

    size, runs = costs["bytes"], scope.prompts * scope.seeds
    assets = (len(scope.methods) + 2) * runs  # the start and the sphere have assets too
    shown = assets + (2 + scope.truth) * runs  # and shuffled, prior, truth have views
    image, feature = sampling_tflop(scope, costs) / rates["sampling"], size["feature"]
    asset, pictures = size["gaussian"] * size["gaussians"], scope.views * scope.view_side**2 * size["pixel"]
    reward = seconds["reward"] * scope.views * shown if scope.image_reward else 0.0
    generating = generation_tflop(scope, costs) / rates["step"]
    return Plan(
        {
            "kernels": stage(seconds["kernels"] if scope.gpu else 0.0, 0, "kernels"),
            "starts": stage(seconds["cloud"] * runs if scope.point_e else 0.0, 0, "point_e"),
            "assets": stage(generating, scope.assets * (asset + size["records"]), "generate"),
            "controls": stage(image * scope.views * runs, 0, "prior_views"),
            "views": stage(
                seconds["view"] * scope.views * assets, shown * (pictures + size["gallery"]), "views"
            ),
            "scores": stage(seconds["score"] * scope.views * shown, shown * scope.views * feature, "scores"),
            "reward": stage(reward, 0, "image_reward"),
            # The shards and, beside them for a moment, the whole.
            "reference": stage(
                (image + seconds["feature"]) * scope.reference,
                2 * scope.reference * feature,
                "reference_shard",
            ),
            "on the CPU": Stage({rule: counts[rule] for rule in ON_CPU if counts.get(rule)}),
        }
    )


ON_CPU = ("start", "sphere", "shuffled_views", "truth", "truth_views", "reference", "table1")


def count_jobs(scope: Scope) -> dict[str, int]:
    """Jobs of Table 1 by rule, as the rules split the work (rules/*.smk; a dry run gives the same)."""
    runs = scope.prompts * scope.seeds
    made, each = (  # jobs of a row of the table
        jobs(scope.prompts, most) * scope.seeds for most in (scope.assets_per_job, scope.scores_per_job)
    )
    methods, controls = len(scope.methods), 4 + scope.truth
    scored = (methods + controls) * each
    return {
        "kernels": int(scope.gpu),
        "point_e": runs if scope.point_e else 0,
        "generate": methods * made,
        "start": each,
        "sphere": each,
        "shuffled_views": each,
        "truth": int(scope.truth),
        "truth_views": each if scope.truth else 0,
        "prior_views": made,
        "views": (methods + 2) * each,
        "scores": scored,
        "image_reward": scored if scope.image_reward else 0,
        "reference_shard": scope.shards,
        "reference": 1,
        "table1": 1,
    }


def view_tflop(method: str, perp_neg: bool, costs: Costs) -> float:
    """Arithmetic of one view and step at 512 px; of an unknown method, that of the dearest."""
    kind, parts = "perp_neg" if perp_neg else "cfg", costs["arithmetic"]
    amounts = {
        name: parts["unet"] * entry.get(kind, entry["cfg"])
        + parts["encode"]
        + parts["encode_backward"]
        + parts["decode"] * entry["decode"]
        for name, entry in costs["methods"].items()
    }
    return amounts.get(method, max(amounts.values()))


def generation_tflop(scope: Scope, costs: Costs) -> float:
    """Arithmetic of all assets; it grows with the area of the pictures."""
    area = (scope.side / REFERENCE_SIDE) ** 2
    of_methods = sum(view_tflop(name, perp_neg, costs) for name, perp_neg in scope.methods.items())
    return of_methods * area * scope.batch * scope.steps * scope.prompts * scope.seeds


def sampling_tflop(scope: Scope, costs: Costs) -> float:
    """Arithmetic of one image of the prior's: guided steps and a decoding."""
    parts, area = costs["arithmetic"], (scope.side / REFERENCE_SIDE) ** 2
    return (2 * scope.reference_steps * parts["unet"] + parts["decode"]) * area
