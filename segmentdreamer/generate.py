"""Make one 3D asset from a prompt.

    segmentdreamer generate "a red bear with a blue hat" --method sctd
    from segmentdreamer import generate; generate("a red bear with a blue hat", method="sctd")

writes asset.ply, train.csv, cost.json and provenance.json. A killed run goes on from its checkpoint when the
same is asked for again.
"""

from __future__ import annotations

import csv
import dataclasses
import inspect
import os
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument

from segmentdreamer.command import (
    Device,
    Overrides,
    Profile,
    Program,
    Scale,
    Threads,
    hardware,
    inputs,
    outputs,
    settings,
)

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch: its threads must not spin

if TYPE_CHECKING:
    from torch import Tensor

    from segmentdreamer.config import GenerationConfig
    from segmentdreamer.interfaces import Method
    from segmentdreamer.optimize import Row, Run
    from segmentdreamer.prior.diffusers_prior import DiffusersPrior


@dataclass(frozen=True)
class Asset:
    """A finished optimization: the file, what is in it, and the records that lie beside it."""

    path: Path  # asset.ply, without a single Gaussian if the run failed
    parameters: dict[str, Tensor]
    provenance: dict[str, Any]
    cost: dict[str, Any]  # `failed` tells the reason, if any
    rows: list[Row]  # of train.csv, a step each


@dataclass(frozen=True)
class Job:
    """One asset to make: all that it depends on, checked."""

    prompt: str
    prompt_id: str
    name: str  # of the method
    method: Method
    chosen: dict[str, Any]  # its hyper-parameters
    seed: int  # index, from which the run's seed is drawn
    config: GenerationConfig
    weights: str  # digest of the prior's folder
    start: str  # digest of the file that the run starts from; empty for a shape
    key: str  # of all that the result depends on: what a checkpoint belongs to
    device: str
    threads: int


def generate(
    prompt: Annotated[str, Argument(help="what to make, without view words; or --prompt TEXT")],
    method: Annotated[str, inputs("a name in baselines/methods.yaml")] = "sctd",
    scale: Scale = "mini",
    overrides: Overrides = None,
    seed: Annotated[int, settings("another number, another asset")] = 0,
    out: Annotated[Path | None, outputs("folder (default: results/assets/METHOD/PROMPT)")] = None,
    device: Device = None,
    threads: Threads = 1,
    prompt_id: Annotated[str | None, inputs("for seeds and files (default: from the prompt)")] = None,
    camera_preset: Annotated[str | None, settings("object, animal or head, if the scale asks")] = None,
    checkpoint: Annotated[Path | None, outputs("checkpoint file (default: in --out)")] = None,
    profile: Profile = False,
    quiet: Annotated[bool, hardware("no progress bar", "--quiet")] = False,
) -> Asset:
    """Make a 3D Gaussian asset from a prompt by score distillation: asset.ply and its records.

    Nothing is written before all inputs are good. An asset that fails on the way is written as an empty one,
    with the reason in `cost`. Raises ValueError and FileNotFoundError, in one line, for bad input.
    """
    began = time.time()
    os.environ.setdefault("NUMBA_NUM_THREADS", str(threads))
    import torch

    from segmentdreamer.config import load_config
    from segmentdreamer.methods import trunk_settings
    from segmentdreamer.prior.diffusers_prior import open_prior

    torch.set_num_threads(threads)
    prompt_id = prompt_id or "-".join(prompt.lower().split())
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    config = load_config(scale, [*trunk_settings(method), *(overrides or [])], camera_preset)
    job = prepare(prompt, prompt_id, method, seed, config, device, threads)
    out = Path(out or Path("results/assets") / method / prompt_id)
    checkpoint = checkpoint or out / ".checkpoint.pt"
    prior = open_prior(config.prior, device, threads)
    run, watch, failure = optimize_asset(job, prior, checkpoint, profile, quiet)
    asset = write_asset(job, run, out, failure, began)
    checkpoint.unlink(missing_ok=True)
    if failure:
        print(f"failed: {failure}; {asset.path} is empty", file=sys.stderr)
    if profile:
        print(watch.table(run.cost.seconds), file=sys.stderr)
    return asset


def prepare(
    prompt: str, prompt_id: str, name: str, seed: int, config: GenerationConfig, device: str, threads: int
) -> Job:
    """The job, its method, start and weights checked."""
    from segmentdreamer.methods import code_digests, hyper_parameters, load_method
    from segmentdreamer.prior.diffusers_prior import check_prior
    from segmentdreamer.records import run_key
    from segmentdreamer.start.shapes import located, start_digest

    config = dataclasses.replace(config, start=located(config.start, prompt_id, seed))
    method = load_method(name, config.methods.get(name, {}))
    if config.prompts.perp_neg and not getattr(method, "has_perp_neg", True):
        raise ValueError(f"{name} has no Perp-Neg; set prompts.perp_neg to false")
    digests, chosen = (check_prior(config.prior), start_digest(config.start)), hyper_parameters(method)
    key = run_key(config, name, chosen, prompt, prompt_id, seed, digests, device, code_digests(name))
    return Job(prompt, prompt_id, name, method, chosen, seed, config, *digests, key, device, threads)


def optimize_asset(
    job: Job, prior: DiffusersPrior, checkpoint: Path, profile: bool, quiet: bool
) -> tuple[Run, Any, str]:
    """The finished run, resumed from its checkpoint where there is one, and why it failed, if it did.

    A prior that was never asked for anything is one of a new process, which is warmed up.
    """
    from tqdm import tqdm

    from segmentdreamer.checkpoint import load_checkpoint, save_checkpoint
    from segmentdreamer.optimize import (
        READ_EVERY,
        AssetFailed,
        check_progress,
        optimize,
        read_rows,
        start_run,
    )
    from segmentdreamer.prior.view_prompts import embed_views
    from segmentdreamer.start.shapes import start_seed, start_state
    from segmentdreamer.timing.stopwatch import Stopwatch
    from segmentdreamer.timing.warmup import warm_up

    config, train = job.config, job.config.train
    seed = start_seed(job.prompt_id, job.seed)
    prompts = embed_views(prior, job.prompt, config.prompts)
    run = load_checkpoint(checkpoint, job.key, config, job.device)
    run = run or start_run(start_state(config.start, seed), config, job.device)
    if run.step and not quiet:
        print(f"resuming at step {run.step} of {train.steps}", file=sys.stderr)
    if not prior.nfe:
        warm_up(run, job.method, prior, prompts, config, seed)
    watch = Stopwatch(synchronize=profile)
    about = f"{job.name} {job.prompt!r}"
    bar = tqdm(total=train.steps, initial=run.step, desc=about, disable=quiet, mininterval=0.5, unit="step")

    def after_step(state: Run) -> None:
        bar.update(1)
        if state.step % READ_EVERY == 0 or state.step == train.steps:
            check_progress(state, train.patience)
            row = state.rows[-1]
            bar.set_postfix(gradient=f"{row['gradient_rms']:.3g}", nfe=row["nfe"], gaussians=row["gaussians"])
        if state.step % train.checkpoint_every == 0 and state.step < train.steps:
            save_checkpoint(state, checkpoint, job.key)

    failure = ""
    with bar:
        try:
            optimize(run, job.method, prior, prompts, config, seed, watch, after_step)
        except AssetFailed as error:
            failure = str(error)
            read_rows(run.rows)
    return run, watch, failure


def write_asset(job: Job, run: Run, out: Path, failure: str, began: float) -> Asset:
    """Write asset.ply, train.csv, cost.json and provenance.json; began: when the work on this asset did."""
    from segmentdreamer.records import describe_machine, file_digest, package_versions, write_json
    from segmentdreamer.scene.gaussians import save_ply

    path, kept = out / "asset.ply", 0 if failure else None
    params = {name: value.detach()[:kept] for name, value in run.params.items()}
    save_ply(params, path)
    with (out / "train.csv").open("w", newline="") as stream:
        names = list(dict.fromkeys(name for row in run.rows for name in row))
        writer = csv.DictWriter(stream, names, restval="")
        writer.writeheader()
        writer.writerows(run.rows)
    cost = describe_cost(job, run, time.time() - began, failure)
    write_json(out / "cost.json", cost)
    provenance = {
        "prompt": job.prompt,
        "prompt_id": job.prompt_id,
        "method": job.name,
        "hyper_parameters": job.chosen,
        "seed": job.seed,
        "config": dataclasses.asdict(job.config),
        "weights_sha256": job.weights,
        "start_sha256": job.start,
        "asset_sha256": file_digest(path),
        "versions": package_versions(),
        "machine": describe_machine(job.device),
    }
    write_json(out / "provenance.json", provenance)
    return Asset(path, params, provenance, cost, run.rows)


def describe_cost(job: Job, run: Run, wall: float, failure: str) -> dict[str, Any]:
    """What cost.json says; `alone` tells whether `seconds` may be compared with another run's."""
    import torch

    # Before the arithmetic is counted, which may import diffusers.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # KiB on Linux
    from segmentdreamer.timing.flops import known_work

    cost, others = run.cost, run.cost.others_cores
    flop = None  # of networks that are no folder's
    if not job.config.prior.class_:
        work = known_work(Path(job.config.prior.path), job.config.render.size, job.weights)
        flop = work.total(cost.nfe, cost.encodes, cost.decodes, cost.unet_backwards)
    figures = {
        "seconds": round(cost.seconds, 3),  # in steps, first to last, over all resumes, as the next six
        "cpu_seconds": round(cost.cpu_seconds, 3),  # of this process, user and system
        "others_cores": None if others is None else round(others, 3),  # that other processes kept busy
        "alone": cost.alone,
        "nfe": cost.nfe,
        "encodes": cost.encodes,
        "decodes": cost.decodes,
        "tflop": None if flop is None else float(f"{flop / 1e12:.6g}"),  # of the networks, counted
        "wall_seconds": round(wall, 3),  # of the last resume; start-up included, of a job of one asset
        "steps": run.step,
        "skipped_steps": int(sum(row["skipped"] for row in run.rows)),
        "held_back": sum(row["held_back"] for row in run.rows),  # by optimizer.max_gaussians
        "peak_memory_mib": round(peak, 1),
        "gaussians": len(run.params["means"]),
        "device": job.device,
        "failed": failure,  # empty, or the reason
    }
    if job.device != "cpu":
        figures["peak_gpu_memory_mib"] = round(torch.cuda.max_memory_reserved() / 2**20, 1)
        figures["unseen"] = "what other processes did on the GPU"  # by others_cores and alone
    return figures


class _Callable(ModuleType):
    """Makes `from segmentdreamer import generate` both what `python -m` runs and a function."""

    __call__ = staticmethod(generate)
    __signature__ = inspect.signature(generate)


sys.modules[__name__].__class__ = _Callable
main = Program(generate)

if __name__ == "__main__":
    main()
