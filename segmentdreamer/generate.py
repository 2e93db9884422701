"""Make one 3D asset from a prompt.

    segmentdreamer generate "a red bear with a blue hat" --method sctd
    from segmentdreamer import generate; generate("a red bear with a blue hat", method="sctd")

writes asset.ply, train.csv, cost.json and provenance.json. A run that was stopped or killed goes on from its
checkpoint when the same is asked for again; one that is finished is left as it is.
"""

from __future__ import annotations

import dataclasses
import inspect
import os
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any, Literal

from typer import Argument

from segmentdreamer.command import (
    Device,
    Overrides,
    Profile,
    Program,
    Scale,
    Threads,
    check_threads,
    find_device,
    hardware,
    inputs,
    outputs,
    settings,
    several,
)

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch: its threads must not spin

Tracker = Literal["tensorboard", "wandb", "mlflow"]

if TYPE_CHECKING:
    from torch import Tensor

    from segmentdreamer.optimize import Row, Run
    from segmentdreamer.prior.diffusers_prior import DiffusersPrior
    from segmentdreamer.prior.view_prompts import ViewPrompts
    from segmentdreamer.recipe.job import Job
    from segmentdreamer.timing.journal import Journal


@dataclass(frozen=True)
class Asset:
    """A finished optimization: the file, what is in it, and the records that lie beside it."""

    path: Path  # asset.ply, without a single Gaussian if the run failed
    parameters: dict[str, Tensor]
    provenance: dict[str, Any]
    cost: dict[str, Any]  # `failed` tells the reason, if any
    rows: list[Row]  # of train.csv, a step each


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
    quiet: Annotated[bool, hardware("lines instead of a progress bar", "--quiet")] = False,
    log: Annotated[Tracker | None, outputs("also log to this, if it is installed")] = None,
    again: Annotated[bool, outputs("make a finished asset anew", "--again")] = False,
) -> Asset:
    """Make a 3D Gaussian asset from a prompt by score distillation: asset.ply and its records.

    Nothing is written before all inputs are good. An asset that fails on the way is written as an empty one,
    with the reason in `cost`. Raises ValueError and OSError, in one line, for bad input; SystemExit, after a
    checkpoint, when ^C or SIGTERM stops it.
    """
    began = time.monotonic()
    check_threads(threads)
    import torch

    from segmentdreamer.prior.diffusers_prior import open_prior
    from segmentdreamer.recipe.job import Task, prepare
    from segmentdreamer.records import check_writable, file_name
    from segmentdreamer.timing.journal import find_tracker
    from segmentdreamer.timing.record import FILES, finished

    torch.set_num_threads(threads)
    prompt_id = prompt_id or "-".join(prompt.lower().split())
    chosen, device = several(overrides), find_device(device)
    job = prepare(Task(prompt, prompt_id, method, seed, scale, chosen, camera_preset, device, threads))
    tracker = find_tracker(log)
    out = Path(out or Path("results/assets") / method / file_name(prompt_id))
    if not again and (found := finished(out, job.identity)):
        print(f"finished: {out} holds this asset already; --again makes it anew", file=sys.stderr)
        return Asset(out / "asset.ply", *found)
    checkpoint = checkpoint or out / ".checkpoint.pt"
    check_writable(checkpoint, *(out / name for name in FILES))
    prior, part = open_prior(job.config.prior, device, threads), out / "train.csv.part"
    with tracker(out, f"{method} {prompt_id} {seed}", job.chosen) if tracker else nullcontext() as logged:
        run, watch, failure = optimize_asset(job, prior, checkpoint, profile, quiet, part, logged)
    asset = write_asset(job, run, out, failure, began)
    for left in (checkpoint, part):
        left.unlink(missing_ok=True)
    if failure:
        print(f"failed: {failure}; {asset.path} is empty", file=sys.stderr)
    if profile:
        print(watch.table(run.cost.seconds), file=sys.stderr)
    return asset


def optimize_asset(
    job: Job,
    prior: DiffusersPrior,
    checkpoint: Path,
    profile: bool,
    quiet: bool,
    log: Path,
    tracker: Any = None,
    failure: str = "",
) -> tuple[Run, Any, str]:
    """The finished run, resumed from its checkpoint where there is one, and why it failed, if it did.

    A prior that was never asked for anything is one of a new process, which is warmed up. log: where the rows
    so far stand meanwhile. failure: why it has failed already, if it has. SystemExit if a signal came, which
    waits until the checkpoint is saved.
    """
    from tqdm import tqdm

    from segmentdreamer.checkpoint import held_signals, load_checkpoint
    from segmentdreamer.optimize import AssetFailed, failing, optimize, read_rows, start_run
    from segmentdreamer.start.shapes import start_seed, start_state
    from segmentdreamer.timing.journal import Journal
    from segmentdreamer.timing.stopwatch import Stopwatch
    from segmentdreamer.timing.warmup import warm_up

    config, steps = job.config, job.config.train.steps
    seed = start_seed(job.task.prompt_id, job.task.seed)
    run = load_checkpoint(checkpoint, job.identity, config, job.task.device)
    run = run or start_run(start_state(config.start, seed), config, job.task.device)
    if run.step:
        print(f"resuming at step {run.step} of {steps}", file=sys.stderr)
    watch, about = Stopwatch(synchronize=profile), f"{job.task.name} {job.task.prompt[:60]!r}"
    if failure:
        return run, watch, failure
    prompts = embed_prompt(job, prior)
    lines = quiet or not sys.stderr.isatty()
    journal = Journal(log, about, steps, run.step, lines, tracker)
    bar = tqdm(total=steps, initial=run.step, desc=about, disable=lines, mininterval=0.5, unit="step")
    with held_signals() as came, bar:
        try:
            if not prior.nfe:
                with failing("warm-up"):
                    warm_up(run, job.method, prior, prompts, config, seed)
            after_step = follow(job, checkpoint, journal, bar, came)
            optimize(run, job.method, prior, prompts, config, seed, watch, after_step)
        except AssetFailed as error:
            failure = str(error)
            read_rows(run.rows)
    return run, watch, failure


def follow(job: Job, checkpoint: Path, journal: Journal, bar: Any, came: list[int]) -> Callable[[Run], None]:
    """What is done after each step: tell of it, save it now and then, and where a signal came stop."""
    from segmentdreamer.checkpoint import Stopped, save_checkpoint
    from segmentdreamer.optimize import READ_EVERY, check_progress

    train = job.config.train

    def after_step(run: Run) -> None:
        bar.update(1)
        if run.step % READ_EVERY == 0 or run.step == train.steps:
            check_progress(run, train.patience)
            journal(run)
            row = run.rows[-1]
            bar.set_postfix(gradient=f"{row['gradient_rms']:.3g}", nfe=row["nfe"], gaussians=row["gaussians"])
        if run.step < train.steps and (came or run.step % train.checkpoint_every == 0):
            save_checkpoint(run, checkpoint, job.identity)
            if came:
                journal(run)
                print(f"stopped at step {run.step}; the same command goes on", file=sys.stderr)
                raise Stopped(128 + came[0])

    return after_step


def embed_prompt(job: Job, prior: DiffusersPrior) -> ViewPrompts:
    """The prompt's embeddings; says what the prior does not read of it."""
    from segmentdreamer.prior.conversion import folder_of
    from segmentdreamer.prior.view_prompts import embed_views, word_views
    from segmentdreamer.prior.vocabulary import fit_prompt

    config, prompt = job.config, job.task.prompt
    if not config.prior.class_:
        word = partial(word_views, config=config.prompts, method=job.method)
        prompt, remarks = fit_prompt(folder_of(config.prior), prompt, word)
        for remark in remarks:
            print(f"warning: {job.task.prompt[:60]!r}: {remark}", file=sys.stderr)
    return embed_views(prior, prompt, config.prompts, job.method)


def write_asset(job: Job, run: Run, out: Path, failure: str, began: float) -> Asset:
    """Write asset.ply, train.csv, cost.json and provenance.json; began: the monotonic clock at the start."""
    from segmentdreamer.recipe.identity import NUMBERS, revision
    from segmentdreamer.recipe.job import EDITED
    from segmentdreamer.records import describe_machine, file_digest, package_versions, write_json
    from segmentdreamer.scene.gaussians import save_ply
    from segmentdreamer.timing.journal import write_rows
    from segmentdreamer.timing.record import describe_cost

    path, kept = out / "asset.ply", 0 if failure else None
    params = {name: value.detach()[:kept] for name, value in run.params.items()}
    (out / "provenance.json").unlink(missing_ok=True)  # written last: what it is not beside is not whole
    save_ply(params, path)
    write_rows(run.rows, out / "train.csv")
    cost = describe_cost(job, run, time.monotonic() - began, failure)
    write_json(out / "cost.json", cost)
    if edited := job.task.identify() != job.identity:
        print(f"note: {out}: {EDITED}", file=sys.stderr)
    provenance = {
        "identity": job.identity,
        "prompt": job.task.prompt,
        "prompt_id": job.task.prompt_id,
        "method": job.task.name,
        "hyper_parameters": job.chosen,
        "seed": job.task.seed,
        "config": dataclasses.asdict(job.config),
        "weights_sha256": job.weights,
        "start_sha256": job.start,
        "asset_sha256": file_digest(path),
        "numbers": NUMBERS,
        "device": job.task.device.split(":")[0],
        "threads": job.task.threads,
        "edited": edited,
        **revision(),
        "versions": package_versions(),
        "machine": describe_machine(job.task.device),
    }
    write_json(out / "provenance.json", provenance)
    return Asset(path, params, provenance, cost, run.rows)


class _Callable(ModuleType):
    """Makes `from segmentdreamer import generate` both what `python -m` runs and a function."""

    __call__ = staticmethod(generate)
    __signature__ = inspect.signature(generate)


sys.modules[__name__].__class__ = _Callable
main = Program(generate)

if __name__ == "__main__":
    main()
