"""Time the optimization step of each method against its arithmetic.

    python -m segmentdreamer.benchmark --scale paper --random-weights --out benchmark

prints a Markdown table and with --out writes benchmark.md and benchmark.json. The steps that are timed lie
evenly spread over the configured run, so that methods whose cost depends on the time they draw count on
average. Peak memory is what CUDA's allocator held; on a CPU it is the process's, which never sinks from row
to row.
"""

from __future__ import annotations

import argparse
import itertools
import os
import resource
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch: its threads must not spin

import torch

from segmentdreamer.config import GenerationConfig, load_config
from segmentdreamer.methods import load_method
from segmentdreamer.optimize import Run, start_run, take_step
from segmentdreamer.prior.diffusers_prior import DiffusersPrior, open_prior
from segmentdreamer.prior.random_networks import random_networks
from segmentdreamer.prior.view_prompts import ViewPrompts, embed_views
from segmentdreamer.records import describe_machine, package_versions, write_json
from segmentdreamer.scene.cameras import orbit
from segmentdreamer.scene.density import build_strategy
from segmentdreamer.scene.gaussians import Parameters, activate
from segmentdreamer.scene.render import render_views
from segmentdreamer.start.shapes import ball
from segmentdreamer.timing.cost import read_meters
from segmentdreamer.timing.flops import GUIDANCE, METHODS, Work, configured, count_work, shapes
from segmentdreamer.timing.report import write_table
from segmentdreamer.timing.stopwatch import Stopwatch

NAMED = ("unet", "vae", "rasterizer")  # parts of a step; what is left is its rest
ORBIT = 120  # evaluation views of an asset


@dataclass(frozen=True)
class Bench:
    """What all measurements share."""

    prior: DiffusersPrior
    prompts: ViewPrompts
    work: Work
    device: str


@dataclass(frozen=True)
class Measurement:
    """One method under one guidance; all figures but `seconds` and `minutes` are of one step, on average."""

    method: str
    guidance: str
    seconds: tuple[float, ...]  # of every timed step
    batch: int  # views a step
    nfe: float  # evaluations of the UNet, a view
    flops: float  # counted
    parts: dict[str, float]  # seconds, of steps that wait for the device wherever a part ends
    waits: int | None  # times that the host waited for the device; None on a CPU
    peak_mib: float
    minutes: float  # of a whole run at the timed steps' mean

    @property
    def mean(self) -> float:
        """Seconds."""
        return statistics.fmean(self.seconds)


@dataclass(frozen=True)
class Report:
    """All that a benchmark found."""

    scale: str
    weights: str  # "random" or the prior's folder
    prior: dict[str, Any]  # its configuration
    machine: dict[str, Any]
    versions: dict[str, str]
    network_type: str
    matrix_rate: float  # FLOP/s
    work: Work
    rows: list[Measurement] = field(default_factory=list)
    views_seconds: float | None = None  # of rendering the evaluation views of one asset


def measure(
    bench: Bench, name: str, guidance: str, config: GenerationConfig, steps: int, warmup: int
) -> Measurement:
    """Time `steps` steps of a method after `warmup` others, then a third as many for the split."""
    method, run = load_method(name, config.methods.get(name, {})), new_run(config, bench.device)
    strategy = build_strategy(config.optimizer)
    prompts = replace(bench.prompts, perp_neg=GUIDANCE[guidance])

    def take(step: int, watch: Stopwatch | None = None) -> None:
        bench.prior.watch = watch or Stopwatch()
        run.step = step
        take_step(run, method, bench.prior, prompts, config, 0, strategy, bench.prior.watch)

    total = config.train.steps
    for step in spread(total, warmup):
        take(step)
    if bench.device != "cpu":
        torch.cuda.reset_peak_memory_stats(bench.device)
    before = read_meters(bench.prior)
    seconds = time_each(take, spread(total, steps), bench.device)
    spent = read_meters(bench.prior) - before
    flop = bench.work.total(spent.nfe, spent.encodes, spent.decodes, spent.unet_backwards)
    peak, watch = peak_mib(bench.device), Stopwatch(synchronize=True)
    again = spread(total, max(1, steps // 3))
    split = time_each(lambda step: take(step, watch), again, bench.device)
    parts = {part: watch.seconds[part] / len(again) for part in NAMED}
    return Measurement(
        name, guidance, seconds, config.cameras.batch, spent.nfe / steps / config.cameras.batch, flop / steps,
        {**parts, "rest": statistics.fmean(split) - sum(parts.values())},
        None if bench.device == "cpu" else count_waits(lambda: take(total // 2)),
        peak, statistics.fmean(seconds) * total / 60,
    )  # fmt: skip


def time_each(take: Callable[[int], Any], steps: Sequence[int], device: str) -> tuple[float, ...]:
    """Seconds of every step, taken one after the other as a run takes them: the host may run ahead."""
    wait(device)
    marks = [mark(device)]
    for step in steps:
        take(step)
        marks.append(mark(device))
    wait(device)
    return tuple(seconds_between(*pair) for pair in itertools.pairwise(marks))


def mark(device: str) -> Any:
    """Now, by the clock of the device's work where it has one."""
    if device == "cpu":
        return time.perf_counter()
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


def seconds_between(first: Any, last: Any) -> float:
    """Of marks that the device has reached."""
    return last - first if isinstance(first, float) else first.elapsed_time(last) / 1e3


def spread(total: int, count: int) -> list[int]:
    """`count` steps in the middles of as many equal parts of a run of `total` steps."""
    return [int((i + 0.5) * total / count) for i in range(count)]


def new_run(config: GenerationConfig, device: str) -> Run:
    return start_run(start(config, device), config)


def start(config: GenerationConfig, device: str) -> Parameters:
    """A ball of as many Gaussians as a run starts with, wherever the run would get them from."""
    drawn = ball(replace(config.start, kind="ball"), seed=0)
    return {name: torch.nn.Parameter(value.detach().to(device)) for name, value in drawn.items()}


def wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize(device)


def peak_mib(device: str) -> float:
    """What the process held at most; on CUDA in reserve, since a replay allocates none of what it uses."""
    if device != "cpu":
        return torch.cuda.max_memory_reserved(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10  # KiB on Linux


def count_waits(step: Callable[[], Any]) -> int:
    """How often a step makes the host wait for CUDA."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            step()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return sum("synchronizing CUDA operation" in str(warning.message) for warning in caught)


def matrix_rate(device: str, dtype: torch.dtype, repeats: int = 15) -> float:
    """FLOP/s of large square matrix products, the median of some: what the hardware gives at best."""
    side, chain = (1024, 1) if device == "cpu" else (8192, 10)
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    rates = []
    for _ in range(repeats + 2):
        wait(device)
        began = time.perf_counter()
        for _ in range(chain):
            a @ b
        wait(device)
        rates.append(2 * chain * side**3 / (time.perf_counter() - began))
    return statistics.median(rates[2:])


def time_views(config: GenerationConfig, device: str, repeats: int = 3) -> float:
    """Median seconds of rendering the evaluation views of a run's first Gaussians."""
    splats, cameras, seconds = activate(start(config, device)), orbit(ORBIT, size=config.render.size), []
    for _ in range(repeats + 1):
        wait(device)
        began = time.perf_counter()
        render_views(splats, cameras)
        wait(device)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[1:])


def run_benchmark(args: argparse.Namespace, device: str, scratch: Path) -> Report:
    """Everything that was asked for; methods without Perp-Neg have no row for it."""
    configs = {
        (name, guidance): configured(args.scale, name, guidance, args.set)
        for name in args.methods
        for guidance in args.guidance
    }
    for (name, _), config in configs.items():  # before anything is loaded
        load_method(name, config.methods.get(name, {}))
    base = load_config(args.scale, args.set)
    folder = shapes(Path(base.prior.path), scratch) if args.random_weights else weights(base)
    build = random_networks if args.random_weights else None
    prior = open_prior(replace(base.prior, path=str(folder)), device, args.threads, build)
    prompts = embed_views(prior, args.prompt, base.prompts)
    work = count_work(folder, base.render.size, tokens=prompts.null.shape[1])
    report = Report(
        base.scale, "random" if args.random_weights else base.prior.path, asdict(base.prior),
        describe_machine(device), package_versions(), str(prior.dtype).removeprefix("torch."),
        matrix_rate(device, prior.dtype), work,
    )  # fmt: skip
    for (name, guidance), config in configs.items():
        if GUIDANCE[guidance] and not getattr(load_method(name, {}), "has_perp_neg", True):
            continue
        bench = Bench(prior, prompts, work, device)
        try:
            report.rows.append(measure(bench, name, guidance, config, args.steps, args.warmup))
            told = f"{1e3 * report.rows[-1].mean:.1f} ms a step"
        except RuntimeError as error:  # the device's, such as too little memory: the other rows go on
            told = f"failed: {str(error).splitlines()[0]}"
        print(f"{name}, {guidance}: {told}", file=sys.stderr, flush=True)
    return replace(report, views_seconds=time_views(base, device)) if args.views else report


def weights(config: GenerationConfig) -> Path:
    folder = Path(config.prior.path)
    if not (folder / "model_index.json").is_file():
        raise FileNotFoundError(
            f"no diffusers pipeline at {folder} (prior.path); --random-weights needs none"
        )
    return folder


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Time the optimization step of each method.")
    parser.add_argument("--scale", default="mini", help="mini, paper, or a YAML file (default: mini)")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), help="(default: those of Table 1)")
    parser.add_argument("--guidance", nargs="+", choices=list(GUIDANCE), default=list(GUIDANCE),
                        help="(default: both)")  # fmt: skip
    parser.add_argument("--steps", type=int, default=30, help="steps to time (default: 30)")
    parser.add_argument("--warmup", type=int, default=5, help="steps before those (default: 5)")
    parser.add_argument("--random-weights", action="store_true",
                        help="random weights in the shapes of prior.path or, where that is not there, of "
                        "SD 2.1-base")  # fmt: skip
    parser.add_argument("--views", action="store_true", help=f"time the rendering of {ORBIT} views as well")
    parser.add_argument("--prompt", default="a yellow duck", help="(default: a yellow duck)")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE",
                        help="override a configuration value; may be given again")  # fmt: skip
    parser.add_argument("--device", help="cpu or cuda (default: cuda where there is one)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: 1)")
    parser.add_argument("--out", type=Path, help="folder for benchmark.md and benchmark.json")
    args = parser.parse_args(argv)
    if args.steps < 1 or args.warmup < 0:
        parser.error("--steps must be at least 1, --warmup at least 0")
    return args


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_arguments(argv)
    torch.set_num_threads(args.threads)
    device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        with tempfile.TemporaryDirectory() as scratch:
            report = run_benchmark(args, device, Path(scratch))
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f"error: {error}")
    page = write_table(report)
    print(page, end="")
    if args.out:
        write_json(args.out / "benchmark.json", asdict(report))
        (args.out / "benchmark.md").write_text(page)


if __name__ == "__main__":
    main()
