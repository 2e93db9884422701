"""Configuration and prompts, read and checked once; names and lists that the rules share."""

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml
from snakemake.utils import validate

sys.path.insert(0, str(workflow.basedir))
from eval.prompts import read_prompts
from eval.variants import method_of, overrides, variants


def stop(message):
    """End the run with one line on standard error."""
    print("error: " + " ".join(str(message).split()), file=sys.stderr)
    sys.exit(1)


def visible_gpus():
    """How many CUDA devices this machine shows."""
    shown = os.environ.get("CUDA_VISIBLE_DEVICES")
    if shown is not None:
        return len([name for name in shown.split(",") if name])
    if shutil.which("nvidia-smi") is None:
        return 0
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True)
    return listed.stdout.count("GPU ")


def read_yaml(path):
    return yaml.safe_load(Path(path).read_text())


# Unlimited resources are ignored locally: without this, every core would start a job on one GPU.
workflow.global_resources.setdefault("gpu", max(1, visible_gpus()))
GPU = min(1, visible_gpus())

# Threads that wait must not spin, and no compute job may reach for a hub.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

try:
    validate(config, "../schemas/config.schema.yaml")
    PROMPTS = read_prompts(config["prompts"])
    validate(PROMPTS, "../schemas/prompts.schema.yaml")
    REGISTRY = read_yaml(Path(workflow.basedir) / "baselines" / "methods.yaml")
    ABLATIONS = read_yaml(config["ablations"]["spaces"])
    validate(ABLATIONS, "../schemas/ablations.schema.yaml")
    PRIOR = read_yaml(config["generation"])["prior"]["path"]
except FileNotFoundError as error:
    stop(f"no such file: {error.filename}")
except Exception as error:
    stop(error)

if unknown := [name for name in config["methods"] if name not in REGISTRY]:
    stop(f"unknown method {', '.join(unknown)}; known: {', '.join(REGISTRY)}")

# A foreign method has an entry without a class, and a rule of its own that brings assets or views.
OURS = [name for name, entry in REGISTRY.items() if "class" in entry]
RESULTS = config["results"]
IDS = list(PROMPTS["id"])
TEXT = dict(zip(PROMPTS["id"], PROMPTS["prompt"]))
SEEDS = list(range(config["seeds"]))
CONTROLS = ["start", "truth"] if config["truth"] else ["start"]
SHOWN = [*config["methods"], *CONTROLS]
SCORING = ["eval/score.py", "eval/ground_truth.py", "eval/pathology.py"]

# Where a method's name stands, a variant's may: its name and what it changes, sctd/N~3/redraw_t~True.
NAME = "[a-z0-9_]+"
VARIATION = "(?:/[A-Za-z_][A-Za-z0-9_]*~[^/]+)"

# A method's assets are rendered and scored for all prompts at once, a variant's for the ablations' prompts.
BATCHES = {
    stage: [
        (stage, NAME, IDS),
        (f"{stage}_variant", f"{NAME}{VARIATION}+", config["ablations"]["prompts"]),
    ]
    for stage in ("views", "scores")
}


wildcard_constraints:
    method=f"{NAME}{VARIATION}*",
    prompt="[a-z0-9]+",
    seed="[0-9]+",


def prompt_text(wildcards):
    return TEXT[wildcards.prompt]


def method_name(wildcards):
    return method_of(wildcards.method)


def settings(wildcards):
    """The configured overrides, then the variant's, as arguments of `segmentdreamer.generate`."""
    items = [*config["overrides"], *overrides(wildcards.method)]
    return [word for item in items for word in ("--set", item)]


def code_of(wildcards):
    """The files that a method's numbers depend on beside the trunk; a change reruns its assets alone."""
    return REGISTRY[method_of(wildcards.method)]["code"]


def folders_of_views(wildcards, output):
    return [os.path.dirname(path) for path in output.views]


def folders_of_scores(wildcards, output):
    return [os.path.dirname(path) for path in output.scores]


def of_every_asset(pattern):
    return expand(pattern, method=SHOWN, prompt=IDS, seed=SEEDS)


@functools.cache
def ablation_variants(name):
    """The names of an ablation's variants; ends the run with one line if prompt, method or field is wrong.

    Checked when the ablation is asked for: it needs the methods, and so torch, which takes seconds.
    """
    from segmentdreamer.methods import load_method

    if unknown := [p for p in config["ablations"]["prompts"] if p not in TEXT]:
        stop(
            f"ablations.prompts: {config['prompts']} has no {', '.join(unknown)}; ids: {', '.join(IDS)}"
        )
    chosen = variants(ABLATIONS[name])
    try:
        for variant in chosen:
            load_method(variant.method, variant.fields)
    except ValueError as error:
        stop(f"{config['ablations']['spaces']}, {name}: {error}")
    return [variant.name for variant in chosen]


def of_every_variant(pattern):
    """An input function: the pattern for each variant, prompt and seed of the wildcard's ablation."""

    def paths(wildcards):
        return expand(
            pattern,
            method=ablation_variants(wildcards.ablation),
            prompt=config["ablations"]["prompts"],
            seed=range(config["ablations"]["seeds"]),
        )

    return paths


def of_every_control(pattern):
    return expand(
        pattern, method=CONTROLS, prompt=config["ablations"]["prompts"], seed=0
    )
