#!/usr/bin/env python3
"""Rehearse the paper's run: true networks with random weights, the true workflow, a few steps.

    python tests/rehearsal/rehearse.py                  on CUDA where there is one, else on the CPU
    python tests/rehearsal/rehearse.py --size tiny      small networks of the same formats, a few minutes

Builds every network, runs Snakemake with workflow/config/paper.yaml and small numbers into a temporary
folder, checks files, shapes, types and memory, and prints what the full run would take at the measured rate.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
sys.path.append(str(Path(__file__).parents[2] / "workflow" / "scripts"))

import architectures
import pandas as pd
import yaml
from estimates import estimate, view_tflop
from plan import CONFIG, ROOT, format_plan, read_figures, read_scope
from random_weights import NETWORKS, write_networks
from rehearsal_checks import check_results, read_costs
from segmentdreamer.eval.scales import read_scale
from snakemake.utils import update_config

MEMORY_LIMIT = 16e3  # MB of one job
LARGEST = {"true": 512, "tiny": 64}  # pixels of a picture


def find_device() -> str:
    """cuda where PyTorch has it, else cpu."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def small_numbers(device: str, size: str, steps: int | None) -> dict[str, Any]:
    """Steps, batch and counts: as few as the checks need on a CPU, the paper's batch on CUDA."""
    cuda = device == "cuda"
    return {
        "steps": steps or (30 if cuda else 1),
        "batch": 4 if cuda else 1,
        "views": 120 if cuda else 4,
        "reference": 8 if cuda else 2,
        "reference_steps": 25 if cuda else 1,
        "gaussians": 81920 if size == "true" else 2000,
        "side": LARGEST[size],
    }


def rehearsal_config(
    folder: Path, size: str, device: str, prompts: int, numbers: dict[str, Any], lacking: dict[str, str]
) -> dict[str, Any]:
    """Write the rehearsal's prompts and generation settings; the configuration over paper.yaml.

    lacking: networks that could not be built, whose stages are left out.
    """
    paper = yaml.safe_load((CONFIG / "paper.yaml").read_text())
    weights = folder / "weights"
    table = (ROOT / paper["prompts"]).read_text().splitlines()[: prompts + 1]
    (folder / "prompts.tsv").write_text("\n".join(table) + "\n")
    changes = {
        "prior": {"path": str(weights / "sd21-base")},
        "train": {"steps": numbers["steps"]},
        "cameras": {"batch": numbers["batch"]},
        "render": {"size": numbers["side"]},
        "start": {
            "kind": "point-e",
            "file": str(weights / "point-e" / "cloud.ply"),
            "count": numbers["gaussians"],
        },
    }
    generation = yaml.safe_load((ROOT / paper["generation"]).read_text())
    update_config(generation, changes)
    (folder / "generation.yaml").write_text(yaml.safe_dump(generation, sort_keys=False))
    inception = "" if "inception" in lacking else str(weights / "inception" / "inception.safetensors")
    return {
        "results": str(folder / "results"),
        "generation": str(folder / "generation.yaml"),
        "prompts": str(folder / "prompts.tsv"),
        "device": device,
        "views": {"count": numbers["views"], "size": numbers["side"]},
        "clip": {
            "name": architectures.CLIP_NAMES[size],
            "weights": str(weights / "clip-vit-l14" / "open_clip_model.safetensors"),
        },
        "inception": inception,
        "image_reward": "" if "image-reward" in lacking else str(weights / "image-reward"),
        "reference": {
            "count": numbers["reference"],
            "steps": numbers["reference_steps"],
            "shards": prompts,  # a batch has images of one prompt, and a shard at least one batch
        },
        "ablations": {"prompts": ["p01"], "seeds": 1},
    }


def run_workflow(folder: Path, target: str, cores: int) -> int:
    """Run the target with paper.yaml and the rehearsal's changes over it; the exit status."""
    command = [
        sys.executable, "-m", "snakemake", target, "--cores", str(cores), "--quiet", "rules",
        "--nolock", "--resources", "gpu=1", f"mem_mb={MEMORY_LIMIT:.0f}",
        "--set-threads", f"generate={cores}", "--configfile", "workflow/config/paper.yaml",
        str(folder / "rehearsal.yaml"),
    ]  # fmt: skip
    env = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    with (folder / "snakemake.log").open("w") as log:
        return subprocess.run(command, cwd=ROOT, env=env, stdout=log, stderr=log).returncode


def measured_rate(costs_of_assets: list[dict[str, Any]], numbers: dict[str, Any], costs: dict) -> float:
    """TFLOP/s over all steps of all assets: their arithmetic, by the counted evaluations, over their time."""
    parts, views = costs["arithmetic"], numbers["steps"] * numbers["batch"]
    work = sum(
        cost["nfe"] * parts["unet"]
        + views * (parts["encode"] + parts["encode_backward"])
        + views * parts["decode"] * costs["methods"].get(cost["method"], {}).get("decode", 0)
        for cost in costs_of_assets
    )
    return work / sum(cost["seconds"] for cost in costs_of_assets)


def report_steps(costs_of_assets: list[dict[str, Any]], costs: dict) -> str:
    """A line a method: seconds and network evaluations a step, beside the long-run mean."""
    lines = [f"{'method':<8} {'s/step':>8} {'NFE/step':>9} {'TFLOP a view, long run':>24}"]
    for cost in costs_of_assets:
        steps = cost["steps"]
        lines.append(
            f"{cost['method']:<8} {cost['seconds'] / steps:>8.2f} {cost['nfe'] / steps:>9.1f} "
            f"{view_tflop(cost['method'], cost['perp_neg'], costs):>24.2f}"
        )
    return "\n".join(lines)


def read_jobs(results: Path) -> pd.DataFrame:
    """What Snakemake measured of every job: its `stage`, seconds `s`, peak memory `max_rss` in MB."""
    folder, read = results / "benchmarks", partial(pd.read_csv, sep="\t", na_values="-")
    names = sorted(path.relative_to(folder) for path in folder.rglob("*.tsv"))
    return pd.concat([read(folder / name).assign(stage=name.parts[0], job=str(name)[:-4]) for name in names])


def report_jobs(jobs: pd.DataFrame) -> str:
    """A line a stage: the longest and the largest of its jobs."""
    stages = jobs.groupby("stage", sort=False)
    figures = stages.agg(jobs=("s", "size"), seconds=("s", "max"), memory_gb=("max_rss", "max"))
    figures["memory_gb"] /= 1e3
    return figures.round({"seconds": 0, "memory_gb": 2}).to_string()


def project(costs_of_assets: list[dict[str, Any]], numbers: dict[str, Any], device: str) -> str:
    """The full run's plan at the rate and the start-up time that were measured here."""
    costs = read_figures()
    paper = read_scale("paper")
    rate = measured_rate(costs_of_assets, numbers, costs)
    start_up = sum(c["wall_seconds"] - c["seconds"] for c in costs_of_assets) / len(costs_of_assets)
    measured = {**costs, "seconds": costs["seconds"] | {"start_up": start_up}}
    table = format_plan(
        estimate(read_scope(paper), measured, {"step": rate, "sampling": rate}),
        f"this machine's {device}",
        f"{rate:.3g} TFLOP/s and {start_up:.0f} s of start-up measured here",
    )
    hours = "\nOn a CPU, `GPU-hours` are hours of this CPU." if device == "cpu" else ""
    return f"{report_steps(costs_of_assets, costs)}\n\nThe full run at this rate:\n{table}{hours}"


def first_errors(folder: Path) -> list[str]:
    """The last line of each log that ends with an error."""
    lines = []
    for path in sorted((folder / "results" / "logs").rglob("*.log")):
        last = (path.read_text().strip().splitlines() or [""])[-1]
        if "error" in last.lower():
            lines.append(f"{path.relative_to(folder)}: {last}")
    return lines


def rehearse(args: argparse.Namespace, folder: Path) -> list[str]:
    """Build, run, check, print; what is wrong, a line each."""
    device, began = args.device or find_device(), time.monotonic()
    numbers = small_numbers(device, args.size, args.steps)
    lacking = write_networks(folder / "weights", list(NETWORKS), args.size, seed=0)
    config = rehearsal_config(folder, args.size, device, args.prompts, numbers, lacking)
    (folder / "rehearsal.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    print(f"{device}, {args.size} networks: {numbers}", file=sys.stderr, flush=True)
    if run_workflow(folder, args.target, args.cores):
        log = (folder / "snakemake.log").read_text().splitlines()[-5:]
        return [f"the workflow failed ({folder / 'snakemake.log'}):", *log, *first_errors(folder)]
    assets = read_costs(folder / "results")
    problems = check_results(folder / "results", config, numbers, args.size)
    jobs = read_jobs(folder / "results")
    greedy = jobs[jobs["max_rss"] > MEMORY_LIMIT]
    problems += (greedy["job"] + ": " + greedy["max_rss"].astype(str) + " MB of memory").tolist()
    print(report_jobs(jobs), end="\n\n")
    print(project(assets, numbers, device) if args.size == "true" else "tiny networks: no projection")
    for name, reason in lacking.items():
        print(f"left out: {name} ({reason})")
    print(f"rehearsed in {(time.monotonic() - began) / 60:.1f} minutes")
    return problems


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Rehearse the paper's run with random weights.")
    parser.add_argument("--size", choices=architectures.SIZES, default="true", help="(default: true)")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="(default: cuda where there is one)")
    parser.add_argument("--steps", type=int, help="optimization steps (default: 30 on CUDA, 1 on a CPU)")
    parser.add_argument("--prompts", type=int, default=1, help="of the forty (default: 1)")
    parser.add_argument("--cores", type=int, default=os.cpu_count(), help="(default: all)")
    parser.add_argument("--target", default="all", help="Snakemake's target (default: all)")
    parser.add_argument(
        "--out", type=Path, help="folder to work in, to keep and to go on from (default: temporary)"
    )
    args = parser.parse_args(argv)
    folder = args.out or Path(tempfile.mkdtemp(prefix="rehearsal-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        problems = rehearse(args, folder.resolve())
    except (ValueError, OSError, subprocess.SubprocessError) as error:
        problems = [str(error)]
    if args.out is None and not problems:
        shutil.rmtree(folder)
    if problems:
        sys.exit("error: " + "\n".join(problems) + f"\n(files in {folder})")
    print("the rehearsal passed")


if __name__ == "__main__":
    main()
