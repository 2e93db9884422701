#!/usr/bin/env python3
"""What a run will take, before it starts: jobs by rule, GPU-hours and disk by stage, downloads.

    python workflow/scripts/plan.py --configfile workflow/config/paper.yaml

GPU-hours are arithmetic over the rates that a device reaches, plus seconds beside it; every figure stands
with its source in workflow/config/costs.yaml. Counted for Table 1 alone and from nothing: of what is there
already, only weights are subtracted.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import yaml
from batches import jobs
from estimates import Plan, Scope, Stage, estimate

from segmentdreamer.command import Program, inputs, settings
from segmentdreamer.start.shapes import StartConfig
from segmentdreamer.weights.catalog import Weights, format_bytes, read_list
from segmentdreamer.weights.commands import missing_files

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "workflow" / "config"
DEFAULT = CONFIG / "default.yaml"
DEVICE = "h200"  # whose figures were measured


def read_scope(config: Mapping[str, Any]) -> Scope:
    """The numbers of a merged configuration, with the files that it names. Raises ValueError, OSError."""
    from segmentdreamer.eval.prompt_table import read_prompts

    from segmentdreamer.config import load_config
    from segmentdreamer.methods import registry, trunk_settings

    generation, methods = load_config(config["generation"], config["overrides"]), {}
    for name in config["methods"]:
        if "class" in registry().get(name, {}):
            settings = load_config(config["generation"], [*trunk_settings(name), *config["overrides"]])
            methods[name] = settings.prompts.perp_neg
    prompts, reference = len(read_prompts(Path(config["prompts"]))), config["reference"]
    return Scope(
        methods=methods,
        prompts=prompts,
        seeds=config["seeds"],
        steps=generation.train.steps,
        batch=generation.cameras.batch,
        side=generation.render.size,
        views=config["views"]["count"],
        view_side=config["views"]["size"],
        reference=reference["count"] * prompts,
        reference_steps=reference["steps"],
        shards=jobs(prompts, jobs(prompts, reference["shards"])),
        assets_per_job=config.get("assets_per_job", 5),
        scores_per_job=config.get("scores_per_job", 40),
        truth=bool(config.get("truth")),
        point_e=makes_clouds(generation.start),
        image_reward=bool(config.get("image_reward")),
        gpu=config.get("device") == "cuda",
    )


def makes_clouds(start: StartConfig) -> bool:
    """Whether the workflow makes the starts by Point-E, rather than taking files that there are."""
    return start.kind == "point-e" and not start.file


def needed_weights(config: Mapping[str, Any], entries: Mapping[str, Weights]) -> dict[str, Weights]:
    """The entries of the weights list that a configuration's paths point into."""
    from segmentdreamer.config import load_config

    generation = load_config(config["generation"], config["overrides"])
    paths = [
        generation.prior.path,
        config["clip"]["weights"],
        config.get("inception") or "",
        config.get("image_reward") or "",
    ]
    paths += ["weights/point-e"] if makes_clouds(generation.start) else []

    def needed(name: str) -> bool:
        folder, named = f"weights/{name}/", [f"{path}/" for path in paths if path]
        return any(path.startswith(folder) or folder.startswith(path) for path in named)

    return {name: entry for name, entry in entries.items() if needed(name)}


def read_figures() -> dict[str, Any]:
    """Figures with their sources, and the arithmetic that `segmentdreamer.timing.flops --yaml` counted."""
    costs, counted = (
        yaml.safe_load((CONFIG / f"{name}.yaml").read_text("utf-8")) for name in ("costs", "arithmetic")
    )
    return costs | counted


def make_plan(config: Mapping[str, Any], device: str = DEVICE, root: Path = Path("weights")) -> Plan:
    """The plan of a merged configuration. Raises ValueError for an unknown device, OSError for a file."""
    costs = read_figures()
    if device not in costs["devices"]:
        raise ValueError(f"no device {device!r} in costs.yaml; known: {', '.join(costs['devices'])}")
    planned = estimate(read_scope(config), costs, costs["devices"][device])
    entries = needed_weights(config, read_list())
    missing = missing_files(entries, root)
    download = sum(entries[name].files[file].bytes for name, files in missing.items() for file in files)
    kept = sum(entry.bytes for entry in entries.values())
    stages = {"weights": Stage({"weights": len(missing)}, bytes=kept), **planned.stages}
    return Plan(stages, download, missing)


def format_plan(plan: Plan, device: str, source: str, elsewhere: str = "") -> str:
    """A table of the stages, and what is to be fetched. elsewhere: lines on other devices."""
    lines = [f"{'stage':<12} {'GPU-hours':>10} {'disk':>9}  jobs"]
    for name, stage in plan.stages.items():
        jobs = ", ".join(f"{rule} {n}" for rule, n in stage.jobs.items() if n)
        lines.append(f"{name:<12} {stage.gpu_hours:>10.2f} {format_bytes(stage.bytes):>9}  {jobs}")
    total = sum(plan.jobs.values())
    lines.append(f"{'total':<12} {plan.gpu_hours:>10.2f} {format_bytes(plan.bytes):>9}  {total}")
    lines.append(f"GPU-hours of {device}, {source}; more in workflow/config/costs.yaml")
    lines += [elsewhere] if elsewhere else []
    if plan.missing:
        lines.append(
            f"to download: {format_bytes(plan.download)}, {', '.join(plan.missing)} "
            "(`python -m segmentdreamer.weights --check`)"
        )
    return "\n".join(lines)


def describe(config: Mapping[str, Any], device: str = DEVICE) -> str:
    """The plan of a merged configuration as text, for whoever is about to start it."""
    devices, plan = read_figures()["devices"], make_plan(config, device)
    others = [
        f"{make_plan(config, name).gpu_hours:.0f} GPU-hours of {name}, {devices[name]['source']}"
        for name in devices
        if name != device
    ]
    return format_plan(plan, device, devices[device]["source"], "\n".join(others))


def print_plan(
    configfile: Annotated[Path, inputs("laid over the default, e.g. workflow/config/paper.yaml")] = DEFAULT,
    device: Annotated[str, settings("an entry of costs.yaml")] = DEVICE,
) -> None:
    """Print what a run will take before it starts."""
    from segmentdreamer.eval.scales import read_scale

    print(describe(read_scale(str(configfile)), device))


main = Program(print_plan)

if __name__ == "__main__":
    main()
