"""Make several assets of one method in one process, where starting one takes longer than it should.

    python -m segmentdreamer.batch --method sctd --prompt "a red bear" "a yellow duck" --out bear duck

The prior is loaded and warmed up once; each asset has the bytes and the records of a run of its own. One that
cannot be made leaves the others alone, and one that is there already is left as it is. A job that was killed
goes on where it was: checkpoints, those of finished assets too, stay until all are made. As a program it is
started again when it is killed; an asset that kills it three times has failed.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from segmentdreamer.command import (
    BadUsage,
    Device,
    Overrides,
    Program,
    Scale,
    Threads,
    check_threads,
    find_device,
    hardware,
    inputs,
    outputs,
    settings,
)

if TYPE_CHECKING:
    from segmentdreamer.recipe.job import Job

Words = list[str] | None


def batch(
    prompt: Annotated[list[str], inputs("what to make, without view words", metavar="TEXT...")],
    out: Annotated[list[Path], outputs("a folder for each asset", metavar="FOLDER...")],
    method: Annotated[str, inputs("a name in baselines/methods.yaml")] = "sctd",
    scale: Scale = "mini",
    overrides: Overrides = None,
    seed: Annotated[int, settings("of all; another number, other assets")] = 0,
    device: Device = None,
    threads: Threads = 1,
    prompt_id: Annotated[Words, inputs("of each (default: from its prompt)", metavar="ID...")] = None,
    camera_preset: Annotated[Words, settings("of each, if the scale asks", metavar="KIND...")] = None,
    checkpoint: Annotated[
        list[Path] | None, outputs("of each (default: in its --out)", metavar="FILE...")
    ] = None,
    identity: Annotated[
        Words, inputs("what each must be (segmentdreamer.recipe.identity), by the plan", metavar="DIGEST...")
    ] = None,
    quiet: Annotated[bool, hardware("no progress bars", "--quiet")] = False,
) -> None:
    """Make several assets of one method in one process.

    Nothing is written before all inputs are good. Raises ValueError and FileNotFoundError, in one line, for
    bad input; SystemExit at the end if an asset could not be made.
    """
    check_threads(threads)
    import torch

    from segmentdreamer.recipe.job import Task, prepare
    from segmentdreamer.records import check_writable
    from segmentdreamer.timing.record import FILES

    torch.set_num_threads(threads)
    device, chosen = find_device(device), (*(overrides or []),)
    prompt_id = prompt_id or ["-".join(text.lower().split()) for text in prompt]
    checkpoint = checkpoint or [folder / ".checkpoint.pt" for folder in out]
    presets: Sequence[str | None] = camera_preset or [None] * len(prompt)
    planned = identity or [""] * len(prompt)
    if not len(prompt) == len(prompt_id) == len(out) == len(checkpoint) == len(presets) == len(planned):
        raise BadUsage("what each asset has of its own needs as many values as there are of --prompt")
    jobs = [
        prepare(Task(text, name, method, seed, scale, chosen, preset, device, threads), known)
        for text, name, preset, known in zip(prompt, prompt_id, presets, planned, strict=True)
    ]
    check_writable(*checkpoint, *(folder / name for folder in out for name in FILES))
    if lost := make_all(jobs, out, checkpoint, quiet):
        sys.exit(f"error: not made: {', '.join(lost)}; what is done of all {len(jobs)} waits as checkpoints")
    for path in checkpoint:
        path.unlink(missing_ok=True)


def make_all(jobs: Sequence[Job], out: Sequence[Path], checkpoint: Sequence[Path], quiet: bool) -> list[str]:
    """Make the assets one after the other; the ids of those that could not be made."""
    from segmentdreamer.checkpoint import save_checkpoint
    from segmentdreamer.generate import optimize_asset, write_asset
    from segmentdreamer.prior.diffusers_prior import open_prior
    from segmentdreamer.recipe.attempts import attempt
    from segmentdreamer.timing.record import finished

    prior, lost = open_prior(jobs[0].config.prior, jobs[0].task.device, jobs[0].task.threads), list[str]()
    for job, folder, path in zip(jobs, out, checkpoint, strict=True):
        began, part = time.monotonic(), folder / "train.csv.part"
        if finished(folder, job.identity):
            print(f"{folder}: finished before", file=sys.stderr, flush=True)
            continue
        came = path.stat().st_mtime_ns if path.exists() else 0
        try:
            with attempt(path.with_suffix(".attempt"), job.identity, came) as hopeless:
                run, _, failure = optimize_asset(job, prior, path, False, quiet, part, failure=hopeless)
                if not failure:
                    save_checkpoint(run, path, job.identity)
                write_asset(job, run, folder, failure, began)
            part.unlink(missing_ok=True)
        except OSError:  # of a full disk and the like, which the others would meet
            raise
        except Exception:  # whatever it was, the others can be made
            traceback.print_exc()
            lost.append(job.task.prompt_id)
        else:
            print(f"{folder}: {f'failed: {failure}' if failure else 'made'}", file=sys.stderr, flush=True)
    return lost


main = Program(batch)

if __name__ == "__main__":
    from segmentdreamer.recipe.attempts import planned

    planned(main)
