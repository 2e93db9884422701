"""Configuration and prompts, read and checked once; names and lists that the rules share."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml
from snakemake.utils import validate

sys.path.insert(0, str(workflow.basedir))
from eval.prompts import read_prompts


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
    PRIOR = read_yaml(config["generation"])["prior"]["path"]
except FileNotFoundError as error:
    stop(f"no such file: {error.filename}")
except Exception as error:
    stop(error)

if unknown := [name for name in config["methods"] if name not in REGISTRY]:
    stop(f"unknown method {', '.join(unknown)}; known: {', '.join(REGISTRY)}")

RESULTS = config["results"]
IDS = list(PROMPTS["id"])
TEXT = dict(zip(PROMPTS["id"], PROMPTS["prompt"]))
SEEDS = list(range(config["seeds"]))
CONTROLS = ["start", "truth"] if config["truth"] else ["start"]
SHOWN = [*config["methods"], *CONTROLS]


wildcard_constraints:
    method="[a-z0-9_]+",
    prompt="[a-z0-9]+",
    seed="[0-9]+",


def prompt_text(wildcards):
    return TEXT[wildcards.prompt]


def code_of(wildcards):
    """The files that a method's numbers depend on beside the trunk; a change reruns its assets alone."""
    return REGISTRY[wildcards.method]["code"]


def of_every_asset(pattern):
    return expand(pattern, method=SHOWN, prompt=IDS, seed=SEEDS)
