#!/usr/bin/env python3
"""Kill jobs and Snakemake itself (-9) at seeded random moments, and compare with a run that nobody disturbs.

    python tests/faults/kill.py --kills 100 --seed 0
    python tests/faults/kill.py --kills 3 --target scores/sctd/p01/0/scores.csv

After every kill of Snakemake, and where a killed job ends a run, the same command is given again and nothing
else. A run that has ended well must have the bytes of the undisturbed one, in files of the same names.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import psutil
import yaml

ROOT = Path(__file__).parents[2]
TINY = {
    "prompts": "prompts/smoke.tsv",
    "methods": ["sctd"],
    "seeds": 1,
    "views": {"count": 8},
    "overrides": ["train.steps=4", "train.checkpoint_every=1", "start.count=60"],
    "device": "cpu",
    "reference": {"count": 8, "steps": 2, "omega": 5.0, "shards": 1},
    "ablations": {"prompts": ["p01"], "seeds": 1},
}
# What tells of time, machine or attempts, and so is never twice the same. earlier/ stays where a kill came
# after the last job: the next run has nothing to do, and the one after that drops it.
APART = re.compile(r"(^|/)(logs|benchmarks|report|earlier|\.running|cost\.json|provenance\.json)(/|$)")
TIMED = re.compile(r"^(tables|plots)/|^settings.yaml$")  # of these per_prompt.csv counts, less its costs
COSTS = ("seconds", "cpu_seconds", "alone", "peak_memory")
TWICE = 2  # a job is killed no more often: a third death at one point is a failed asset, as promised
LONGEST = 5.0  # seconds from one kill to the next, at most, while something runs
MODULE = re.compile(r"-m ([\w.]+)(?: (draw|merge|views))?")


@dataclass
class Kills:
    """What was killed so far, and what came of it."""

    random: random.Random
    most: int
    jobs: Counter[str] = field(default_factory=Counter)  # by stage
    lines: Counter[str] = field(default_factory=Counter)  # by the job's command
    snakemake: int = 0
    runs: int = 0
    orphans: int = 0  # starts that found some

    @property
    def done(self) -> int:
        return self.snakemake + self.jobs.total()

    def strike(self, snakemake: psutil.Process) -> bool:
        """Kill Snakemake, or a job of the stage that was spared most; whether there was anything to kill."""
        jobs = {stage: job for job in snakemake.children() if (stage := self.stage_of(job))}
        if not jobs:
            return False
        if self.random.random() < 0.4:
            snakemake.kill()
            self.snakemake += 1
            return True
        stage = min(sorted(jobs), key=self.jobs.__getitem__)
        tree = [*jobs[stage].children(recursive=True), jobs[stage]]
        self.lines[command(jobs[stage])] += 1
        for process in tree if self.random.random() < 0.5 else [self.random.choice(tree)]:
            process.kill()
        self.jobs[stage] += 1
        return True

    def stage_of(self, job: psutil.Process) -> str:
        """What a job of Snakemake's does; empty if it was killed often enough."""
        words = command(job)
        found = MODULE.search(words)
        if self.lines[words] >= TWICE:
            return ""
        return " ".join(filter(None, found.groups())) if found else "copy" if "cp " in words else ""

    def __str__(self) -> str:
        stages = ", ".join(f"{stage} {n}" for stage, n in sorted(self.jobs.items()))
        return (
            f"{self.done} kills in {self.runs} runs: {self.snakemake} of Snakemake, {self.jobs.total()} of "
            f"jobs ({stages}); orphans were found and ended at {self.orphans} starts"
        )


def command(process: psutil.Process) -> str:
    return " ".join(process.cmdline())


def run(results: Path, targets: list[str], kills: Kills | None = None) -> None:
    """Give the command until it ends well, disturbed by the kills that are left. targets: below results."""
    settings = results.with_suffix(".yaml")
    settings.write_text(yaml.safe_dump(TINY | {"results": str(results)}))
    words = [sys.executable, "-m", "snakemake", "--cores", "2", *(str(results / name) for name in targets)]
    words += ["--configfile", str(settings)]
    calm = 0  # ends that no kill explains
    while True:
        before, log = kills.done if kills else 0, results.with_suffix(".log")
        with log.open("w") as stream:
            started = subprocess.Popen(words, cwd=ROOT, stdout=stream, stderr=stream)
            while started.poll() is None and kills and kills.done < kills.most:
                time.sleep(kills.random.uniform(0.1, LONGEST))
                try:
                    struck = kills.strike(psutil.Process(started.pid))
                except psutil.Error:  # it ended meanwhile
                    continue
                if struck:
                    print(kills, file=sys.stderr, flush=True)
            status = started.wait()
        if kills:
            kills.orphans += "ended what a killed run" in log.read_text()
        calm += not kills or kills.done == before
        if status == 0:
            return
        if calm > 1 or not kills:
            raise RuntimeError(f"undisturbed, it ends with {status}:\n{log.read_text()}")


def products(results: Path) -> dict[str, str]:
    """name -> digest of the files that a run leaves, of tables and plots the name alone."""
    found = {path.relative_to(results).as_posix(): path for path in results.rglob("*") if path.is_file()}
    compared = {name: path for name, path in found.items() if not APART.search(name)}
    digests = {name: "" if TIMED.search(name) else read_digest(path) for name, path in compared.items()}
    return digests | {name: values(found[name]) for name in digests if name.endswith("/per_prompt.csv")}


def read_digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def values(path: Path) -> str:
    """The digest of a table's values, less those of time."""
    table = pd.read_csv(path)
    return hashlib.sha256(table[~table["metric"].isin(COSTS)].to_csv().encode()).hexdigest()


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Kill runs at random; their ends must be an undisturbed one's."
    )
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", nargs="*", default=[], help="files below the folder of results")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kills") as folder:
        os.environ["SEGMENTDREAMER_CACHE"] = f"{folder}/cache"
        run(Path(folder) / "straight", args.target)
        expected, kills = products(Path(folder) / "straight"), Kills(random.Random(args.seed), args.kills)
        while kills.done < args.kills:
            kills.lines.clear()
            run(results := Path(folder) / "killed", args.target, kills)
            kills.runs += 1
            found = products(results)
            if apart := sorted({*expected.items()} ^ {*found.items()}):
                kept = shutil.copytree(folder, f"{folder}-differ")
                print(kills, f"differ, both runs are kept in {kept}:", *dict(apart), sep="\n")
                return 1
            shutil.rmtree(results)
    print(f"seed {args.seed}: {kills}; every run ended with the bytes of the undisturbed one")
    return 0


if __name__ == "__main__":
    sys.exit(main())
