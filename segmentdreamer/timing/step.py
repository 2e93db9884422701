"""The optimization step of each method, timed against its arithmetic.

The steps that are timed lie evenly spread over the configured run, so that methods whose cost depends on the
time they draw count on average. Peak memory is what CUDA's allocator held; on a CPU the process's, which
never sinks from row to row.
"""

import gc
import itertools
import resource
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from segmentdreamer.config import GenerationConfig
from segmentdreamer.methods import load_method
from segmentdreamer.optimize import Run, start_run, take_step
from segmentdreamer.prior.diffusers_prior import DiffusersPrior, open_prior
from segmentdreamer.prior.folder import check_folder
from segmentdreamer.prior.random_networks import random_networks
from segmentdreamer.prior.torch_networks import TorchNetworks
from segmentdreamer.prior.view_prompts import ViewPrompts, embed_views
from segmentdreamer.records import describe_machine, package_versions
from segmentdreamer.scene.cameras import orbit
from segmentdreamer.scene.density import build_strategy
from segmentdreamer.scene.gaussians import activate
from segmentdreamer.scene.render import render_views
from segmentdreamer.start.shapes import start_state
from segmentdreamer.timing.cost import read_meters
from segmentdreamer.timing.flops import GUIDANCE, Work, count_work, shapes
from segmentdreamer.timing.report import Measurement, Report
from segmentdreamer.timing.stopwatch import Stopwatch

NAMED = ("unet", "vae", "rasterizer")  # parts of a step; what is left is its rest
ORBIT = 120  # evaluation views of an asset


@dataclass(frozen=True)
class Bench:
    """What all measurements share."""

    prior: DiffusersPrior
    prompts: ViewPrompts
    work: Work | None  # of a pipeline folder's networks
    device: str


def measure(
    bench: Bench, name: str, guidance: str, config: GenerationConfig, steps: int, warmup: int
) -> Measurement:
    """Time `steps` steps of a method after `warmup` others, then a third as many for the split."""
    method, run = load_method(name, config.methods.get(name, {})), new_run(config, bench.device)
    strategy = build_strategy(config.optimizer)
    prompts = replace(bench.prompts, perp_neg=GUIDANCE[guidance], sources=bench.prompts.views)

    def take(step: int, watch: Stopwatch | None = None) -> None:
        bench.prior.watch = watch or Stopwatch()
        run.step = step
        take_step(run, method, bench.prior, prompts, config, 0, strategy, bench.prior.watch)

    total = config.train.steps
    if bench.device != "cpu":
        forget(bench)
    for step in spread(total, warmup):
        take(step)
    before = read_meters(bench.prior)
    seconds = time_each(take, spread(total, steps), bench.device)
    spent = read_meters(bench.prior) - before
    counts = (count / steps for count in (spent.nfe, spent.encodes, spent.decodes, spent.unet_backwards))
    flop = bench.work.total(*counts) if bench.work else None
    peak, watch = peak_mib(bench.device), Stopwatch(synchronize=True)
    again = spread(total, max(1, steps // 3))
    split = time_each(lambda step: take(step, watch), again, bench.device)
    parts = {part: watch.seconds[part] / len(again) for part in NAMED}
    return Measurement(
        name, guidance, seconds, config.cameras.batch, spent.nfe / steps / config.cameras.batch, flop,
        {**parts, "rest": statistics.fmean(split) - sum(parts.values())},
        None if bench.device == "cpu" else count_waits(lambda: take(total // 2)),
        peak, statistics.fmean(seconds) * total / 60,
    )  # fmt: skip


def forget(bench: Bench) -> None:
    """Drop what other methods left in the device's memory, so that the peak is that of one alone."""
    if isinstance(bench.prior.networks, TorchNetworks):
        bench.prior.networks.forget()
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(bench.device)


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
    """A ball of as many Gaussians as a run starts with, wherever the run would get them from."""
    return start_run(start_state(replace(config.start, kind="ball"), seed=0), config, device)


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

    def products() -> None:
        for _ in range(chain):
            a @ b

    return 2 * chain * side**3 / median_seconds(products, device, repeats, 2)


def time_views(config: GenerationConfig, device: str, repeats: int = 3) -> float:
    """Median seconds of rendering the evaluation views of a run's first Gaussians."""
    splats, cameras = activate(new_run(config, device).params), orbit(ORBIT, size=config.render.size)
    return median_seconds(lambda: render_views(splats, cameras), device, repeats, 1)


def median_seconds(work: Callable[[], Any], device: str, repeats: int, warmup: int) -> float:
    """Of `repeats` calls after `warmup` others, each with its wait for the device."""
    seconds = []
    for _ in range(warmup + repeats):
        wait(device)
        began = time.perf_counter()
        work()
        wait(device)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[warmup:])


def time_methods(
    configs: dict[tuple[str, str], GenerationConfig],
    base: GenerationConfig,
    prompt: str,
    random_weights: bool,
    steps: int,
    warmup: int,
    device: str,
    threads: int,
) -> Report:
    """A row for each method and guidance of `configs`; methods without Perp-Neg have none for it."""
    for (name, _), config in configs.items():  # before anything is loaded
        load_method(name, config.methods.get(name, {}))
    prior, prompts, work = load(base, prompt, random_weights, device, threads)
    named = base.prior.class_ or base.prior.path
    report = Report(
        base.scale,
        "random" if random_weights else named,
        asdict(base.prior),
        describe_machine(device),
        package_versions(),
        str(prior.dtype).removeprefix("torch."),
        matrix_rate(device, prior.dtype),
        work,
    )
    for (name, guidance), config in configs.items():
        if GUIDANCE[guidance] and not getattr(load_method(name, {}), "has_perp_neg", True):
            continue
        bench = Bench(prior, prompts, work, device)
        try:
            report.rows.append(measure(bench, name, guidance, config, steps, warmup))
            told = f"{1e3 * report.rows[-1].mean:.1f} ms a step"
        except RuntimeError as error:  # the device's, such as too little memory: the other rows go on
            told = f"failed: {str(error).splitlines()[0]}"
        print(f"{name}, {guidance}: {told}", file=sys.stderr, flush=True)
    return report


def load(
    config: GenerationConfig, prompt: str, random_weights: bool, device: str, threads: int
) -> tuple[DiffusersPrior, ViewPrompts, Work | None]:
    """The prior, the prompt's embeddings, and the arithmetic of networks that are a pipeline folder's."""
    if config.prior.class_:
        if random_weights:
            raise ValueError(f"prior.class {config.prior.class_} has no shapes for --random-weights")
        prior = open_prior(config.prior, device, threads)
        return prior, embed_views(prior, prompt, config.prompts), None
    with tempfile.TemporaryDirectory() as scratch:
        folder = shapes(Path(config.prior.path), Path(scratch)) if random_weights else weights(config)
        build = random_networks if random_weights else None
        prior = open_prior(replace(config.prior, path=str(folder)), device, threads, build)
        prompts = embed_views(prior, prompt, config.prompts)
        return prior, prompts, count_work(folder, config.render.size, tokens=prompts.null.shape[1])


def weights(config: GenerationConfig) -> Path:
    folder = Path(config.prior.path)
    try:
        check_folder(folder)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error}; --random-weights needs none") from error
    return folder
