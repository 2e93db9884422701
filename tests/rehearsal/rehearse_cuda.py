#!/usr/bin/env python3
"""What a CUDA machine does with this project, in one command, without any download.

    python workflow/scripts/rehearse_cuda.py --out rehearsal

runs the tests that need a device, the step benchmark, the scoring benchmark and the rate of the reference
set, with random weights in the shapes of SD 2.1-base, each as a program of its own within its time. It prints
what they print, the table of docs/performance.md among it, and writes it to OUT/rehearsal.md. A part that
fails is named with its reason, and the next begins. Two parts take longer and must be asked for: `compiled`,
the step benchmark with prior.compile, and `runs`, all steps of a run of each method.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

STEPS = "-m segmentdreamer.benchmark --scale paper --random-weights --warmup 3"
TESTS = ("test_gsplat_parity", "test_graphs", "test_step", "test_pathologies")


@dataclass(frozen=True)
class Part:
    """A program of Python's and the seconds that it may take."""

    arguments: str
    seconds: int


def parts(out: Path) -> dict[str, Part]:
    files = " ".join(f"tests/{name}.py" for name in TESTS)
    return {
        "tests": Part(f"-m pytest -m cuda --continue-on-collection-errors --tb=short {files}", 120),
        "steps": Part(f"{STEPS} --steps 10 --views --out {out}", 180),
        "scoring": Part("-m eval.benchmark --threads 8", 60),
        "reference": Part("-m eval.benchmark --reference 2", 60),
        "compiled": Part(f"{STEPS} --steps 10 --methods sctd --set prior.compile=true", 600),
        "runs": Part(f"{STEPS} --steps 5000 --guidance cfg", 3 * 3600),
    }


DEFAULT = ("tests", "steps", "scoring", "reference")


def rehearse(name: str, part: Part, left: float) -> tuple[bool, str]:
    """Whether a part succeeded, and its section of the report."""
    began = time.monotonic()
    limit = min(part.seconds, left)
    if limit <= 0:
        return False, f"## {name}\n\nleft out: the time is up\n"
    try:
        done = subprocess.run(
            [sys.executable, *part.arguments.split()],
            capture_output=True,
            text=True,
            timeout=limit,
            check=False,
        )
        told, errors, code = done.stdout, done.stderr, done.returncode
        reason = "" if code == 0 else f"failed with status {code}"
    except subprocess.TimeoutExpired as stopped:
        told, errors = (decode(text) for text in (stopped.stdout, stopped.stderr))
        reason = f"stopped after {limit:.0f} s"
    lines = [f"## {name}", "", f"`python {part.arguments}`: {time.monotonic() - began:.0f} s", "", told]
    if reason:
        lines += [f"{reason}:", "", "\n".join(errors.strip().splitlines()[-15:]), ""]
    return not reason, "\n".join(lines)


def decode(text: bytes | str | None) -> str:
    return text.decode(errors="replace") if isinstance(text, bytes) else text or ""


def main() -> None:
    parser = argparse.ArgumentParser(description="Rehearse on CUDA; prints the table of docs/performance.md.")
    parser.add_argument("--out", type=Path, default=Path("rehearsal"), help="(default: rehearsal)")
    parser.add_argument("--limit", type=float, default=600, help="seconds for all parts (default: 600)")
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
        (args.out / "rehearsal.md").write_text("\n".join(sections))
    if failed:
        sys.exit(f"error: {', '.join(failed)} did not succeed")


if __name__ == "__main__":
    main()
