"""Whether the tests would notice: changes code at random places, runs the fast tests of it, counts.

    python tests/mutate --sample 40            40 changes an area, an hour on two cores
    python tests/mutate losses --sample 0      every change of one area

Prints each change that no test notices, and the share that some test does. A change that no test could
notice (it is equal to what stands there) is listed in equivalent.txt with its line and reason, and not drawn.
"""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from mutants import Mutant, mutants

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
DURATIONS = ".durations.json"  # in the copy: test file -> seconds
LIBRARIES = (
    "torch numpy scipy.stats scipy.optimize pandas yaml diffusers transformers open_clip matplotlib.pyplot"
)
HANGS = 4  # times the seconds that the tests take of what is unchanged: such a mutant is noticed
# Area -> files that are changed, tests that must notice.
AREAS: dict[str, tuple[str, str]] = {
    "losses": (
        "baselines/*.py segmentdreamer/sctd.py segmentdreamer/segments.py "
        "segmentdreamer/diffusion/[gst]*.py segmentdreamer/scene/brightness.py",
        "tests/baselines tests/segmentdreamer/diffusion "
        "tests/segmentdreamer/test_step.py tests/segmentdreamer/test_trunk.py "
        "tests/segmentdreamer/test_trunk_numbers.py "
        "tests/segmentdreamer/test_official_defaults.py",
    ),
    "statistics": ("eval/statistics/*.py", "tests/eval/statistics tests/eval/claims tests/eval/tables"),
    "distances": ("eval/distances/*.py", "tests/eval/distances"),
    "protocol": (
        "eval/protocol.py eval/scores/ground_truth.py eval/scores/pathology.py eval/scores/pathologies/*.py "
        "eval/metrics.py",
        "tests/eval/scores tests/eval/views tests/eval/tables",
    ),
    "workflow": (
        "workflow/rules/**/*.smk",
        "tests/workflow/test_wiring.py tests/workflow tests/eval/plots/test_variants.py",
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("areas", nargs="*", metavar="AREA", help=f"{', '.join(AREAS)} (default: all)")
    parser.add_argument("--sample", type=int, default=40, help="changes an area, 0: all (default: 40)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--least", type=float, default=0.95, help="exit 1 below this share (default: .95)")
    args = parser.parse_args()
    if unknown := {*args.areas} - {*AREAS}:
        parser.error(f"no area {', '.join(sorted(unknown))}; known: {', '.join(AREAS)}")
    os.environ["OMP_WAIT_POLICY"] = "passive"
    load_libraries()
    with tempfile.TemporaryDirectory() as folder:
        copy = copy_tree(Path(folder) / "clone")
        shares = [try_area(copy, area, args.sample, args.seed) for area in args.areas or AREAS]
    sys.exit(any(share < args.least for share in shares))


def load_libraries() -> None:
    """Import what tests import, and nothing of ours but the guard that torchvision needs."""
    sys.path.insert(0, str(ROOT))
    guard = "segmentdreamer.torchvision_guard"
    for name in (guard, *LIBRARIES.split()):
        importlib.import_module(name)
    for name in [n for n in sys.modules if n.split(".")[0] == "segmentdreamer" and n != guard]:
        del sys.modules[name]


def copy_tree(folder: Path) -> Path:
    """A copy of what git knows, to be changed."""
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in filter(None, files.decode().split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    return folder


def try_area(copy: Path, area: str, sample: int, seed: int) -> float:
    """The share of an area's mutants that its tests notice; prints those that they do not."""
    patterns, tests = AREAS[area]
    drawn = draw(copy, patterns.split(), sample, seed)
    began = time.monotonic()
    if outcome(copy, tests.split(), None) != 0:
        sys.exit(f"{area}: the tests fail before anything is changed")
    limit = HANGS * (time.monotonic() - began)
    quickest = json.loads((copy / DURATIONS).read_text())
    began, survivors = time.monotonic(), 0
    for done, mutant in enumerate(drawn, start=1):
        path = copy / mutant.path
        original = path.read_text()
        path.write_text(mutant.source)
        ordered = sorted(quickest, key=lambda test: (path.stem not in test, quickest[test]))
        if outcome(copy, ordered, limit) == 0:
            survivors += 1
            print(f"NOT NOTICED  {mutant}", flush=True)
        path.write_text(original)
        left = (time.monotonic() - began) / done * (len(drawn) - done) / 60
        print(f"\r{area}: {done} of {len(drawn)}, {left:.0f} min left ", end="", file=sys.stderr, flush=True)
    share = 1 - survivors / len(drawn)
    print(f"\n{area}: {len(drawn) - survivors} of {len(drawn)} changes noticed ({share:.1%})", flush=True)
    return share


def draw(copy: Path, patterns: list[str], sample: int, seed: int) -> list[Mutant]:
    """`sample` mutants of these files (0: all), the same for a seed; none that is listed as equivalent."""
    listed = Path(__file__).with_name("equivalent.txt").read_text().splitlines()
    equal = {line.split("  #")[0].strip() for line in listed}
    files = sorted({p for pattern in patterns for p in copy.glob(pattern)})
    found = [m for p in files for m in mutants(str(p.relative_to(copy)), p.read_text())]
    found = [m for m in found if not equal & {f"{m.path}  {m.change}", f"{m.path}  {m.change}  in {m.code}"}]
    return found if not sample or sample >= len(found) else random.Random(seed).sample(found, sample)


def outcome(copy: Path, tests: list[str], limit: float | None) -> int:
    """The exit status of the fast tests on the copy; of a hang, that of a failure.

    A fork of this process, which has the libraries loaded, saves each mutant their seconds.
    """
    run = multiprocessing.get_context("fork").Process(target=run_tests, args=(copy, tests))
    run.start()
    run.join(limit)
    if run.exitcode is None:
        os.killpg(run.pid or 0, signal.SIGKILL)
        run.join()
    return 1 if run.exitcode is None or run.exitcode < 0 else run.exitcode


def run_tests(copy: Path, tests: list[str]) -> None:
    """Pytest in a process group of its own, on the copy, up to the first failure."""
    os.setpgrp()
    os.chdir(copy)
    os.environ |= {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    sys.path[:] = [str(copy), *(path for path in sys.path if Path(path).resolve() not in (ROOT, HERE))]
    for stream in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    options = ["-x", "-q", "-m", "not slow", "-o", "addopts=", "-p", "no:cacheprovider"]
    sys.exit(pytest.main([*options, *tests], plugins=[Durations()]))


class Durations:
    """Writes how long each file's tests took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        file = report.nodeid.split("::")[0]
        self.seconds[file] = self.seconds.get(file, 0.0) + report.duration

    def pytest_sessionfinish(self) -> None:
        Path(DURATIONS).write_text(json.dumps(self.seconds))


if __name__ == "__main__":
    main()
