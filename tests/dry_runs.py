"""Snakemake as a user calls it, mostly dry, and what it says that it would do."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parent.parent


def snakemake(
    *arguments: str, cores: bool = True, cwd: Path = ROOT, first: Path | None = None
) -> subprocess.CompletedProcess:
    """first: a folder of programs that stand in for others."""
    places = [*([first] if first else []), Path(sys.executable).parent, os.environ["PATH"]]
    environment = os.environ | {"PATH": os.pathsep.join(map(str, places))}
    command = [sys.executable, "-m", "snakemake", *(["--cores", "2"] if cores else []), *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def planned(output: str) -> dict[str, int]:
    """Jobs by rule from a dry run's table; rules that share prompts out (generate_1, generate_2) are one."""
    counts = Counter[str]()
    for name, n in dict(re.findall(r"^([a-z]\w*) +(\d+)$", output, re.M)).items():  # it may be there twice
        counts[re.sub(r"_\d+$", "", name)] += int(n)
    return dict(counts)


def commands(output: str) -> dict[str, str]:
    """Of every file that a dry run with -p would make: the command that makes it."""
    blocks = re.findall(r"^ *(?:local)?rule \w+:\n(.*?)^Shell command: ([^\n]*)", output, re.M | re.S)
    return {
        path: command
        for block, command in blocks
        for made in re.findall(r"^ +output: (.*)$", block, re.M)
        for path in made.replace(" (update)", "").split(", ")
    }
