"""Configuration and prompts, read and checked once; names and lists that the rules share."""

import os
import sys
from pathlib import Path

from snakemake.common.configfile import load_configfile
from snakemake.utils import validate

sys.path[:0] = [
    str(workflow.basedir),
    str(Path(workflow.basedir) / "workflow" / "scripts"),
]
from eval.identity import of_truth
from eval.metrics import check_columns, measures, primary_method
from eval.prompt_table import categories, read_prompts
from segmentdreamer.records import run_key
from segmentdreamer.recipe.settings import nearest, read_settings, read_yaml
from eval.variants import method_of, variants
from eval.variants import overrides as variant_settings
from batches import split
from identities import Identities, known, of_prompts, of_shards
from progress import follow
from running import begin, drop_earlier, set_aside
from schemas import broken, spell
from selection import (
    check_folder,
    folders,
    keep_selection,
    keep_settings,
    selections,
    settings_of,
    stated,
)
from toybox.scenes import spec_of
from with_gpu import visible_devices


def stop(message):
    """End the run with one line on standard error."""
    print("error: " + " ".join(str(message).split()), file=sys.stderr)
    sys.exit(1)


if workflow.is_main_process:
    follow(
        logger,
        workflow.output_settings,
        config["results"],
        workflow.resource_settings.cores or 1,
    )


# Threads that wait must not spin, no compute job may reach for a hub, and none depends on locale or notebook.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.update(PYTHONUTF8="1", MPLBACKEND="Agg")

SCHEMA = "workflow/schemas/config.schema.yaml"
reading = "configuration"
try:
    spell(config, read_yaml(Path(workflow.basedir) / SCHEMA))
    validate(config, f"../../../{SCHEMA}")
    check_columns()
    PROMPTS = read_prompts(reading := config["prompts"])
    validate(PROMPTS, "../../schemas/prompts.schema.yaml")
    BASELINES = Path(workflow.basedir) / "baselines"
    OTHERS = BASELINES / "foreign.yaml"
    FOREIGN = read_yaml(OTHERS) if OTHERS.exists() else {}
    REGISTRY = read_yaml(BASELINES / "methods.yaml") | FOREIGN
    ABLATIONS = read_yaml(Path(reading := config["ablations"]["spaces"]))
    validate(ABLATIONS, "../../schemas/ablations.schema.yaml")
    RESOURCES = read_yaml(Path(config["resources"]))
    GENERATION = read_settings(config["generation"], config["overrides"])
except FileNotFoundError as error:
    stop(f"no such file: {error.filename}")
except Exception as error:
    stop(broken(error, reading))

if unknown := [name for name in config["methods"] if name not in REGISTRY]:
    stop(f"unknown method {unknown[0]}{nearest(unknown[0], REGISTRY)}")

# The command line's files come before the Snakefile's in `configfiles`, and are laid over it.
LAID_OVER = workflow.overwrite_configfiles
BASE = stated(
    load_configfile(path)
    for path in [*workflow.configfiles[len(LAID_OVER) :], *LAID_OVER]
)
rows = PROMPTS.to_dict("records")
if config["truth"] and (unknown := [row["id"] for row in rows if not spec_of(row)]):
    config["truth"] = False
    if workflow.is_main_process:
        lacking = ", ".join(unknown[:5]) + (", ..." if len(unknown) > 5 else "")
        print(
            f"no true scene for these prompts: {lacking}; the run goes on without it",
            file=sys.stderr,
        )
SETTINGS = settings_of(config, rows)
if workflow.is_main_process:
    try:
        check_folder(config["results"], SETTINGS)
    except ValueError as error:
        stop(error)

# A foreign method has an entry without a class: a program of foreign.yaml, or a rule that brings assets or views.
OURS = [name for name, entry in REGISTRY.items() if "class" in entry]
RESULTS = config["results"]
# What the command line selects has a folder of its own: it overwrites nothing of what the config files select.
SELECTED, SELECTED_ABLATIONS, SELECTED_CLAIMS = selections(config, BASE)
TABLES, PLOTS, LOGS, DEPTH = folders(RESULTS, SELECTED)
REPORT = f"{RESULTS}/report/{SELECTED}".rstrip("/")
ABLATION_TABLES, ABLATION_PLOTS, ABLATION_LOGS, ABLATION_DEPTH = folders(
    RESULTS, SELECTED_ABLATIONS
)
CLAIMS, _, CLAIMS_LOGS, _ = folders(RESULTS, SELECTED_CLAIMS)
PRIOR = GENERATION["prior"]
# Inputs that only have to be there: what they hold counts in identities, when they were written does not.
PRIOR_FILES = (
    []
    if PRIOR.get("class")
    else [ancient(str(Path(PRIOR.get("path", "")) / "model_index.json"))]
)
PROMPT_TABLE, SETTINGS_FILE = ancient(config["prompts"]), ancient(config["generation"])
VIEW_WORDS = GENERATION.get("prompts", {}).get("views", ["front", "side", "back"])
IDS = list(PROMPTS["id"])
TEXT = dict(zip(PROMPTS["id"], PROMPTS["prompt"]))
CAMERA = dict(zip(PROMPTS["id"], PROMPTS["camera"]))
SEEDS = list(range(config["seeds"]))

# Rows of the table that no method made: what the metrics give to the best and to nothing.
TRUTH = ["truth"] if config["truth"] else []
PRIMARY = primary_method(config["methods"])
USUAL = primary_method(BASE.get("methods", config["methods"]))
SHUFFLED = "shuffled" if PRIMARY == USUAL else f"shuffled_{PRIMARY}"
CONTROLS = ["prior", *TRUTH, SHUFFLED, "start", "sphere"]
REFERENCES = ["start", *TRUTH]  # those that ablations show

# What the scores' protocol says of the views, and the options that make them so.
ORBIT = (
    "{count} azimuths at elevation {elevation:g}, radius {radius:g}, field of view {fov:g} rad, {size} px"
).format(**config["views"])
VIEW_OPTIONS = (
    "--size {size} --views {count} --elevation {elevation} --radius {radius} --fov {fov}"
).format(**config["views"])

# A job asks for a GPU where there is one; a cluster's submitting node may have none.
GPU = {"cpu": 0, "cuda": 1, "auto": min(1, len(visible_devices()))}[config["device"]]
DEVICE = "cuda" if GPU else "cpu"
# Each job gets a device of its own, also where a machine has several.
ON_DEVICE = "python workflow/scripts/with_gpu.py " if GPU else ""
# Jobs that share one: so many hold its lock at a time, and each that --resources grants is worth as many.
os.environ.update(GPU_SLOTS=str(config["gpu_share"]))
if workflow.is_main_process and "gpu" in workflow.global_resources:
    granted = workflow.global_resources["gpu"].value
    workflow.register_resource("gpu", granted * config["gpu_share"])
if config["device"] == "cpu":
    os.environ.update(CUDA_VISIBLE_DEVICES="")  # no job may find a device


# Where a method's name stands, a variant's may: its name and what it changes, sctd/N~3/redraw_t~True.
NAME = "[a-z0-9_]+"
HAS_ASSETS = f"(?!(?:prior|truth|{SHUFFLED})/){NAME}"  # those three have views alone
VARIATION = "(?:/[A-Za-z_][A-Za-z0-9_.]*~[^/]+)"

# At the paper's scale, what a run will take, also before a dry run; once, not in every job.
if config["scale"] == "paper" and workflow.is_main_process:
    from plan import describe

    print(describe(config), file=sys.stderr)


# One job makes several assets, another scores more, where starting takes long beside the work: of the table's
# prompts or, of a variant, of the ablations'.
KINDS = [("", "", IDS), ("_variant", f"{VARIATION}+", config["ablations"]["prompts"])]
MADE_TOGETHER, SCORED_TOGETHER = (
    [
        (variation, batch)
        for kind, variation, ids in KINDS
        for batch in split(ids, config[most], kind)
    ]
    for most in ("assets_per_job", "scores_per_job")
)


wildcard_constraints:
    method=f"{NAME}{VARIATION}*",
    prompt="[a-z0-9]+",
    seed="[0-9]+",
