"""What lies beside an asset: whether all of it is there, and what cost.json says."""

import json
import resource
from pathlib import Path
from typing import Any

import torch

from segmentdreamer.optimize import Run
from segmentdreamer.records import file_digest
from segmentdreamer.scene.gaussians import load_ply

FILES = ("asset.ply", "train.csv", "cost.json", "provenance.json")  # of an asset; the last one comes last


def finished(
    out: Path, identity: str
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any], list[Any]] | None:
    """Parameters, provenance, cost and rows of a whole asset that did not fail and has this identity."""
    import pandas as pd

    path, log, *records = (out / name for name in FILES)
    try:
        cost, provenance = (json.loads(record.read_text()) for record in records)
        same = provenance["identity"] == identity and provenance["asset_sha256"] == file_digest(path)
        if not same or cost["failed"]:
            return None
        parameters = {name: value.detach() for name, value in load_ply(path).items()}
        return parameters, provenance, cost, pd.read_csv(log).to_dict("records")
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None


def describe_cost(job: Any, run: Run, wall: float, failure: str) -> dict[str, Any]:
    """What cost.json says of a Job; `alone` tells whether `seconds` may be compared with another run's."""
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
        "device": job.task.device,
        "failed": failure,  # empty, or the reason
    }
    if job.task.device != "cpu":
        figures["peak_gpu_memory_mib"] = round(torch.cuda.max_memory_reserved() / 2**20, 1)
        figures["unseen"] = "what other processes did on the GPU"  # by others_cores and alone
    return figures
