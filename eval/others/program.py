"""Run a program of somebody else's for one prompt, measure it from outside, and take in what it made.

    python -m eval.others.program lucid_dreamer --prompt "a duck" --prompt-id p01 --seed 0 --checkout DIR
        --out results/paper/assets/lucid_dreamer/p01/0 -- python train.py --opt benchmark.yaml

What is known of it (license, commit, deviations, what it writes and how that is turned) stands in
baselines/foreign.yaml. The command runs in the checkout; its seconds hold start-up and loading too.
"""

from __future__ import annotations

import os
import resource
import subprocess
import time
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
import yaml
from snakemake.utils import update_config

from segmentdreamer.command import Program, inputs, outputs
from segmentdreamer.recipe.settings import read_yaml
from segmentdreamer.records import describe_machine, shipped, write_json

from .door import Axis, enter

REGISTRY = "baselines/foreign.yaml"
KEPT = ("repository", "commit", "version", "license", "deviations")  # of an entry, in provenance.json
KINDS = ("up", "turn", "scale", "center")  # how what it makes is turned


def read_entry(name: str) -> dict[str, Any]:
    """What is known of a program; ValueError, in one line, if it is not there or lacks what is needed."""
    known = read_yaml(shipped(REGISTRY))
    entry = known.get(name)
    if not isinstance(entry, dict):
        raise ValueError(f"{REGISTRY} has no program {name!r}; it has {', '.join(known)}")
    pattern = entry.get("makes")
    if not isinstance(pattern, str) or Path(pattern).is_absolute():
        raise ValueError(f"{REGISTRY}: {name}: makes: a path in its folder is needed, not {pattern!r}")
    if entry.get("up", "auto") not in (axes := get_args(Axis)):
        raise ValueError(f"{REGISTRY}: {name}: up: one of {', '.join(axes)}, not {entry['up']!r}")
    if not all(isinstance(entry.get(kind, 1), int | float) for kind in ("scale", "turn")):
        raise ValueError(f"{REGISTRY}: {name}: scale and turn are numbers")
    return entry


def write_settings(entry: dict[str, Any], checkout: Path, names: dict[str, str]) -> None:
    """The program's own settings file with ours laid over, where the entry says so."""
    if "settings" in entry:
        base = yaml.safe_load((checkout / entry["settings"]["base"]).read_text("utf-8"))
        update_config(base, fill(entry["settings"]["set"], names))
        (checkout / entry["settings"]["file"].format(**names)).write_text(yaml.safe_dump(base))


def fill(value: Any, names: dict[str, str]) -> Any:
    """Placeholders ({prompt}, {seed}, ...) in all texts of a value; one alone that is a number becomes it."""
    if isinstance(value, dict):
        return {key: fill(inner, names) for key, inner in value.items()}
    if value == "{seed}":
        return int(names["seed"])
    try:
        return value.format(**names) if isinstance(value, str) else value
    except (LookupError, ValueError) as error:
        raise ValueError(f"{REGISTRY}: {value!r} has no placeholders but {', '.join(names)}") from error


def measure(command: list[str], checkout: Path) -> dict[str, Any]:
    """Run a command to its end: seconds, CPU seconds, memory with its children; ValueError if it fails."""
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    ended = subprocess.run(command, cwd=checkout, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if ended.returncode:
        raise ValueError(f"{command[0]} in {checkout} ended with {ended.returncode}; its log is above")
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    figures = {
        "seconds": time.monotonic() - began,
        "cpu_seconds": used,
        "peak_memory_mib": after.ru_maxrss / 1024,
    }
    told = {name: round(value, 3) for name, value in figures.items()}
    return told | {"measured": "from outside, start-up included"}


def run_program(
    name: Annotated[str, typer.Argument(help=f"of the program, in {REGISTRY}")],
    command: Annotated[list[str], typer.Argument(help="what runs it, after --")],
    prompt: Annotated[str, inputs("the text")],
    prompt_id: Annotated[str, inputs("its id")],
    checkout: Annotated[Path, inputs("folder that the command runs in")],
    out: Annotated[Path, outputs("folder of the asset, or of its records")],
    views: Annotated[Path | None, outputs("folder of its views, where it makes views")] = None,
    init_prompt: Annotated[str, inputs("a short text for what it starts from (default: the text)")] = "",
    seed: Annotated[int, inputs("index of the asset")] = 0,
) -> None:
    """Run a foreign program for one prompt, and take in what it made."""
    entry = read_entry(name)
    names = {"prompt": prompt, "prompt_id": prompt_id, "seed": str(seed)}
    names["init_prompt"] = init_prompt or prompt
    write_settings(entry, checkout, names)
    cost = measure(command, checkout)
    pattern = fill(entry["makes"], names)
    made = sorted(checkout.glob(pattern), key=os.path.getmtime)
    if not made:
        raise ValueError(f"{name} wrote no {pattern} in {checkout}")
    place = views if views and entry.get("as") == "views" else out
    told = enter(made[-1], place, **{key: entry[key] for key in KINDS if key in entry})
    known = {key: entry[key] for key in KEPT if key in entry}
    told |= {
        "method": name,
        "program": known,
        "command": command,
        "machine": describe_machine("cpu"),
        **names,
    }
    write_json(out / "cost.json", cost | {"gaussians": told.get("gaussians"), "failed": ""})
    write_json(out / "provenance.json", {"hyper_parameters": {}, "config": {}, **told})


main = Program(run_program)

if __name__ == "__main__":
    main()
