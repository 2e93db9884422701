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
from eval.protocol import CODE as SCORING
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
    RESOURCES = read_yaml(config["resources"])
    GENERATION = read_yaml(config["generation"])
except FileNotFoundError as error:
    stop(f"no such file: {error.filename}")
except Exception as error:
    stop(error)

if unknown := [name for name in config["methods"] if name not in REGISTRY]:
    stop(f"unknown method {', '.join(unknown)}; known: {', '.join(REGISTRY)}")

# A foreign method has an entry without a class, and a rule of its own that brings assets or views.
OURS = [name for name, entry in REGISTRY.items() if "class" in entry]
RESULTS = config["results"]
PRIOR = GENERATION["prior"]["path"]
VIEW_WORDS = GENERATION.get("prompts", {}).get("views", ["front", "side", "back"])
IDS = list(PROMPTS["id"])
TEXT = dict(zip(PROMPTS["id"], PROMPTS["prompt"]))
CAMERA = dict(zip(PROMPTS["id"], PROMPTS["camera"]))
SEEDS = list(range(config["seeds"]))
SCORING = [
    path for path in (f"eval/{name}" for name in SCORING) if os.path.exists(path)
]

# Rows of the table that no method made: what the metrics give to the best and to nothing.
TRUTH = ["truth"] if config["truth"] else []
CONTROLS = ["prior", *TRUTH, "shuffled", "start", "sphere"]
REFERENCES = ["start", *TRUTH]  # those that ablations show
PRIMARY = "sctd" if "sctd" in config["methods"] else config["methods"][0]
SHOWN = [*config["methods"], *CONTROLS]

# A job asks for a GPU where there is one; a cluster's submitting node may have none.
GPU = {"cpu": 0, "cuda": 1, "auto": min(1, visible_gpus())}[config["device"]]
# Each job gets a device of its own, also where a machine has several.
ON_DEVICE = "python workflow/scripts/with_gpu.py " if GPU else ""
if config["device"] == "cpu":
    os.environ["CUDA_VISIBLE_DEVICES"] = ""

# Where a method's name stands, a variant's may: its name and what it changes, sctd/N~3/redraw_t~True.
NAME = "[a-z0-9_]+"
VARIATION = "(?:/[A-Za-z_][A-Za-z0-9_]*~[^/]+)"

# At the paper's scale, what a run will take, also before a dry run; once, not in every job.
if config["scale"] == "paper" and workflow.is_main_process:
    sys.path.insert(0, str(Path(workflow.basedir) / "workflow" / "scripts"))
    from plan import describe

    print(describe(config), file=sys.stderr)


# Views and scores: one job for all prompts of a method, since starting takes longer than a small scale's
# work, or one job an asset. Of a variant, the ablations' prompts.
PER_ASSET = config["jobs"] == "asset"
EVERY = ["{prompt}"] if PER_ASSET else IDS
OF_JOB = "{method}-{prompt}-{seed}" if PER_ASSET else "{method}-{seed}"
BATCHES = [
    ("", f"(?!(?:{'|'.join(CONTROLS)})/){NAME}", EVERY),
    ("_control", "|".join(CONTROLS), EVERY),
    (
        "_variant",
        f"{NAME}{VARIATION}+",
        ["{prompt}"] if PER_ASSET else config["ablations"]["prompts"],
    ),
]


wildcard_constraints:
    method=f"{NAME}{VARIATION}*",
    prompt="[a-z0-9]+",
    seed="[0-9]+",


def prompt_text(wildcards):
    return TEXT[wildcards.prompt]


def method_name(wildcards):
    return method_of(wildcards.method)


def common_settings(wildcards):
    """The configured overrides, as arguments of `segmentdreamer.generate` and `segmentdreamer.start`."""
    return [
        word
        for item in [*START_OVERRIDES, *config["overrides"]]
        for word in ("--set", item)
    ]


def settings(wildcards):
    """The configured overrides, then the variant's."""
    own = overrides(wildcards.method)
    return [
        *common_settings(wildcards),
        *(word for item in own for word in ("--set", item)),
    ]


def camera_of(wildcards):
    return CAMERA[wildcards.prompt]


def code_of(wildcards):
    """The files that a method's numbers depend on beside the trunk; a change reruns its assets alone."""
    return REGISTRY[method_of(wildcards.method)]["code"]


def need(stage, resource):
    """An input function: what a job of this stage needs, more with every attempt (resources.yaml)."""
    amount = {**RESOURCES["default"], **RESOURCES.get(config["scale"], {})}[stage]

    def grown(wildcards, attempt):
        return amount[resource] * attempt

    return grown


def prompts_of(wildcards, output):
    """The prompts of a job, from its first kind of outputs: .../PROMPT/SEED/FILE."""
    return [Path(path).parts[-3] for path in next(iter(dict(output.items()).values()))]


def shuffled_source(wildcards):
    """The primary method's views of the next prompt of the table."""
    following = IDS[(IDS.index(wildcards.prompt) + 1) % len(IDS)]
    return f"{RESULTS}/views/{PRIMARY}/{following}/{wildcards.seed}/views.zip"


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


def print_results():
    """The table and the ledger of a finished run, where it made them."""
    for name in ("table1.md", "../logs/claims.log"):
        path = Path(RESULTS) / "tables" / name
        if path.exists():
            print(path.read_text())
