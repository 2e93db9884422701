"""Names of isolated environments: what a rule takes as input, and the python that it calls."""

import hashlib
import shlex
import os
from pathlib import Path

ENVIRONMENTS = os.environ.get("SEGMENTDREAMER_ENVS", ".envs")


def python_of(name):
    return f"{ENVIRONMENTS}/{name}/bin/python"


def environment(name):
    """The marker of a finished environment, named by the digest of its list.

    Another list builds it anew and makes its users run again; when it was built matters not.
    """
    digest = hashlib.sha256(Path(f"workflow/envs/{name}.txt").read_bytes()).hexdigest()
    return ancient(f"{ENVIRONMENTS}/{name}/installed-{digest[:12]}.txt")


PROGRAMS = f"{ENVIRONMENTS}/foreign"


def installed(name):
    """The marker of an installed program, named by all that its installation depends on."""
    told = [FOREIGN[name].get(key, "") for key in ("repository", "commit", "install")]
    digest = hashlib.sha256(repr(told).encode()).hexdigest()
    return f"{PROGRAMS}/{name}/installed-{digest[:12]}.txt"


def install(wildcards):
    """The commands that install a program in its folder, which holds its repository if it has one."""
    entry, folder = FOREIGN[wildcards.name], shlex.quote(f"{PROGRAMS}/{wildcards.name}")
    clone = f"git clone {entry['repository']}" if "repository" in entry else "mkdir -p"
    pin = [f"git checkout {entry['commit']}"] if "commit" in entry else []
    steps = [f"rm -rf {folder}", f"{clone} {folder}", f"cd {folder}", *pin]
    return " && ".join([*steps, *entry["install"]])


def command(name, wildcards):
    """A program's command for a prompt and seed."""
    words = [TEXT[wildcards.prompt], INIT[wildcards.prompt], wildcards.prompt]
    quoted = map(shlex.quote, [*words, wildcards.seed])
    names = dict(zip(["prompt", "init_prompt", "prompt_id", "seed"], quoted))
    return FOREIGN[name]["command"].format(**names)
