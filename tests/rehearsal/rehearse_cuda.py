#!/usr/bin/env python3
"""What a CUDA machine does with this project, in one command, without any download.

    python tests/rehearsal/rehearse_cuda.py --out rehearsal
    python tests/rehearsal/rehearse_cuda.py --out rehearsal --limit 7200 --parts sds ism cds gcs sctd

runs the tests that need a device, the step benchmark, the scoring benchmark and the rate of the reference
set, with random weights in the shapes of SD 2.1-base, each as a program of its own within its time. It prints
what they print, the table of docs/performance.md among it, and writes it to OUT/rehearsal.md. A part that
fails is named with its reason, and the next begins. A method's name is a part as well: a run of all 5,000
steps. One that the limit stops goes on when the same is asked for again.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

TESTS = ("rasterizer/test_gsplat_parity", "prior/test_graphs", "test_step")
METHODS = ("sds", "ism", "cds", "gcs", "sctd")
DEFAULT = ("tests", "steps", "scoring", "reference")
RANDOM = "--set prior.class=segmentdreamer.prior.random_networks:open_random --set prior.path='' "


@dataclass(frozen=True)
class Part:
    """A program of Python's and the seconds that it may take."""

    arguments: str
    seconds: int


def parts(out: Path) -> dict[str, Part]:
    files = " ".join(f"tests/segmentdreamer/{name}.py" for name in TESTS)
    run = "-m segmentdreamer.generate --prompt duck --scale paper --set start.kind=ball --quiet " + RANDOM
    return {
        "tests": Part(f"-m pytest -m cuda --tb=short {files} tests/eval/scores/test_pathologies.py", 120),
        "steps": Part(
            "-m segmentdreamer.benchmark --scale paper --random-weights --warmup 3 --steps 10 --views "
            f"--out {out}",
            1200,
        ),
        "scoring": Part("-m eval.benchmark --threads 8", 60),
        "reference": Part("-m eval.benchmark --reference 2", 300),
        **{name: Part(f"{run}--method {name} --out {out}/{name}", 3600) for name in METHODS},
    }


def rehearse(name: str, part: Part, left: float) -> tuple[bool, str]:
    """Whether a part succeeded, and its section of the report; what the limit ends may save its state."""
    began = time.monotonic()
    limit = min(part.seconds, left)
    if limit <= 0:
        return False, f"## {name}\n\nleft out: the time is up\n"
    program = subprocess.Popen(
        [sys.executable, *part.arguments.split()], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        told, errors = program.communicate(timeout=limit)
        reason = f"failed with status {program.returncode}" if program.returncode else ""
    except subprocess.TimeoutExpired:
        program.send_signal(signal.SIGTERM)
        told, errors = program.communicate()
        reason = f"stopped after {limit:.0f} s"
    lines = [f"## {name}", "", f"`python {part.arguments}`: {time.monotonic() - began:.0f} s", "", told]
    if reason:
        lines += [f"{reason}:", "", "\n".join(errors.strip().splitlines()[-15:]), ""]
    return not reason, "\n".join(lines)


def tabulate_runs(out: Path) -> str:
    """A line for each finished run."""
    lines = [
        "| method | steps | minutes | with start-up | NFE a view and step | Gaussians | peak, GiB |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name in METHODS:
        if (path := out / name / "cost.json").exists():
            cost = json.loads(path.read_text())
            figures = (
                cost["steps"],
                f"{cost['seconds'] / 60:.1f}",
                f"{cost['wall_seconds'] / 60:.1f}",
                f"{cost['nfe'] / cost['encodes']:.2f}",
                cost["gaussians"],
                f"{cost.get('peak_gpu_memory_mib', cost['peak_memory_mib']) / 1024:.1f}",
            )
            lines.append(f"| {name} | {' | '.join(map(str, figures))} |")
    return "\n".join(["## runs", "", *lines, ""]) if len(lines) > 2 else ""


def main() -> None:
    parser = argparse.ArgumentParser(description="Rehearse on CUDA; prints the table of docs/performance.md.")
    parser.add_argument("--out", type=Path, default=Path("rehearsal"), help="(default: rehearsal)")
    parser.add_argument("--limit", type=float, default=1800, help="seconds for all parts (default: 1800)")
    parser.add_argument(
        "--parts",
        nargs="+",
        choices=list(parts(Path())),
        default=list(DEFAULT),
        help=f"(default: {' '.join(DEFAULT)})",
    )
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    deadline, sections, failed = time.monotonic() + args.limit, [], []
    for name in args.parts:
        good, section = rehearse(name, parts(args.out)[name], deadline - time.monotonic())
        print(section, flush=True)
        sections.append(section)
        failed += [] if good else [name]
        (args.out / "rehearsal.md").write_text("\n".join([*sections, tabulate_runs(args.out)]))
    print(tabulate_runs(args.out), end="")
    if failed:
        sys.exit(f"error: {', '.join(failed)} did not succeed")


if __name__ == "__main__":
    main()
