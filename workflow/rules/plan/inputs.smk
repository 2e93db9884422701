"""Input functions and what they read: which files, settings and resources a job has."""

import functools
import inspect
import json
import os
import shlex
from pathlib import Path

from snakemake.common import overwrite_function_params


def quick(function):
    """The function, its signature looked up once: Snakemake does so for every job, a sixth of a plan's time."""
    overwrite_function_params(function, inspect.signature(function).parameters)
    return function


INIT = dict(zip(PROMPTS["id"], PROMPTS["init_prompt"]))

START = GENERATION.get("start", {})
# Where Point-E is asked for and no file is named, the workflow makes the clouds.
MAKES_CLOUDS = START.get("kind") == "point-e" and not START.get("file")
START_FILE = (
    f"{RESULTS}/starts/{{prompt_id}}-{{seed}}.ply"
    if MAKES_CLOUDS
    else START.get("file", "")
)
START_OVERRIDES = [f"start.file={START_FILE}"] if MAKES_CLOUDS else []
IDENTITIES = Identities(
    config,
    PROMPTS.to_dict("records"),
    REGISTRY,
    PRIMARY,
    DEVICE,
    [*START_OVERRIDES, *config["overrides"]],
)


def start_files(prompts):
    """The clouds or meshes that the prompts' assets start from, as patterns; nothing for a plain shape."""
    if START.get("kind") not in ("points", "mesh", "point-e", "gaussians"):
        return []
    pattern = START_FILE.replace("{prompt_id}", "{prompt}")
    files = expand(pattern, prompt=prompts, allow_missing=True)
    return files if MAKES_CLOUDS else [ancient(path) for path in files]


IMAGE_REWARD = config.get("image_reward", "")


@quick
def settings(wildcards, output):
    """The configured overrides, then the variant's, as options; what of them counts is in the identity."""
    name = wildcards.get("method", "start")
    own = variant_settings(name)
    if own and workflow.is_main_process and (fault := fault_of(name)):
        stop(f"{name}: {fault}")
    return [
        word
        for item in [*START_OVERRIDES, *config["overrides"], *own]
        for word in ("--set", item)
    ]


@functools.cache
def fault_of(name):
    """What is wrong with the settings of a method or a variant, as configured; empty if nothing is.

    Only asked for where something is configured: it needs the methods, and so torch, which takes seconds.
    """
    from segmentdreamer.methods import check_settings

    try:
        chosen = [*config["overrides"], *variant_settings(name)]
        check_settings(config["generation"], chosen, method_of(name))
    except ValueError as error:
        return str(error)
    return ""


OWN_SETTINGS = (
    config["overrides"] or "segmentdreamer/scales" not in config["generation"]
)
if workflow.is_main_process and OWN_SETTINGS:
    for name in config["methods"]:
        if name in OURS and (fault := fault_of(name)):
            stop(fault)


def need(stage, **fixed):
    """The resources of a job of this stage, by name; more with every attempt (resources.yaml)."""
    amounts = {**RESOURCES["default"], **RESOURCES.get(config["scale"], {})}[stage]
    growing = {
        name: quick(lambda wildcards, attempt, amount=amount: amount * attempt)
        for name, amount in amounts.items()
    }
    return growing | fixed


def first_of(output):
    """The first kind of outputs, or all, where they are of one kind."""
    return next(iter(dict(output.items()).values()), output)


@quick
def prompts_of(wildcards, output):
    """The prompts of a job, from its first kind of outputs: .../PROMPT/SEED/FILE."""
    return [Path(path).parts[-3] for path in first_of(output)]


def shuffled_sources(prompts):
    """An input function: the primary method's views of the prompts that follow these in the table."""
    following = dict(zip(IDS, [*IDS[1:], IDS[0]]))
    return lambda wildcards: [
        f"{RESULTS}/views/{PRIMARY}/{following[name.format(**wildcards)]}/{wildcards.seed}/views.zip"
        for name in prompts
    ]


@quick
def folders_of(wildcards, output):
    """The folders of a job's assets, from its first kind of outputs."""
    return [os.path.dirname(path) for path in first_of(output)]


def of_asset(stage, *files):
    """Where a stage keeps files of one asset, as patterns."""
    return [
        f"{RESULTS}/{stage}/{{method}}/{{prompt}}/{{seed}}/{file}" for file in files
    ]


def of_job(prompts, stage, *files):
    """The same for the prompts of a job."""
    return expand(of_asset(stage, *files), prompt=prompts, allow_missing=True)


def of_control(method, prompts, stage, file):
    """The same of a control, which is no wildcard."""
    return expand(
        of_asset(stage, file), method=method, prompt=prompts, allow_missing=True
    )


def of_every_asset(methods, stage, *files):
    """An input function: the same of every asset of these methods and of the controls.

    Of a list, which Snakemake hashes whole for each of its files, thousands would take minutes to plan.
    """
    shown = [*methods, *CONTROLS]
    made = expand(of_asset(stage, *files), method=shown, prompt=IDS, seed=SEEDS)
    return lambda wildcards: made


def scores_tried(wildcards):
    """The scores of the method that `--config method=NAME` names; ends the run with one line without it."""
    if config["method"] not in REGISTRY:
        stop(f"try_method: --config method=NAME, one of {', '.join(REGISTRY)}")
    return expand(
        of_asset("scores", "scores.csv"), method=config["method"], prompt=IDS, seed=0
    )


@functools.cache
def ablation_variants(name):
    """The names of an ablation's variants; ends the run with one line if prompt, method or field is wrong."""
    if unknown := [p for p in config["ablations"]["prompts"] if p not in TEXT]:
        stop(
            f"ablations.prompts: {config['prompts']} has no {', '.join(unknown)}; ids: {', '.join(IDS)}"
        )
    chosen = [variant.name for variant in variants(ABLATIONS[name])]
    if fault := next(filter(None, map(fault_of, chosen)), ""):
        stop(f"{config['ablations']['spaces']}, {name}: {fault}")
    return chosen


def of_every_variant(stage, file):
    """An input function: the file of each variant, prompt and seed of the wildcard's ablation."""
    prompts, seeds = config["ablations"]["prompts"], range(config["ablations"]["seeds"])
    return lambda wildcards: expand(
        of_asset(stage, file),
        method=ablation_variants(wildcards.ablation),
        prompt=prompts,
        seed=seeds,
    )


def of_every_control(stage, file):
    prompts = config["ablations"]["prompts"]
    return expand(of_asset(stage, file), method=REFERENCES, prompt=prompts, seed=0)


def option(name, value):
    """An option of a command line, or nothing: an empty value would take the next word for it."""
    return f"{name} {shlex.quote(value)}" if value else ""


def outputs_of(jobs):
    """The files that these jobs make."""
    return {str(path) for job in jobs for path in job.output}


def print_results(made):
    """The table and the ledger of a finished run, of the files made, and which assets failed."""
    if SELECTED:
        print(f"selected on the command line: {SELECTED}; tables in {TABLES}")
    table, record = (f"{TABLES}/table1.{ending}" for ending in ("md", "json"))
    if table in made:
        print(Path(table).read_text("utf-8"))
    if f"{CLAIMS}/claims.json" in made:
        print((Path(CLAIMS_LOGS) / "claims.log").read_text("utf-8"))
    if record in made and (
        failed := json.loads(Path(record).read_text("utf-8"))["failed"]
    ):
        print(
            f"{len(failed)} assets failed (to try one again, delete its folder below {RESULTS}/assets):"
        )
        for row in failed:
            print("  {method} {prompt}, seed {seed}: {reason}".format(**row))


def measured_ablations(wildcards):
    """Tables of ablations that were made: the ledger decides by what is there, and names what is not."""
    paths = [f"{ABLATION_TABLES}/ablation_{name}_per_prompt.csv" for name in ABLATIONS]
    return [path for path in paths if os.path.exists(path)]
