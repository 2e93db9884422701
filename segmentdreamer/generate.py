"""Make one 3D asset from a prompt.

    python -m segmentdreamer.generate --prompt "a red bear with a blue hat" --method sctd

writes asset.ply, train.csv, cost.json and provenance.json into --out. A killed run goes on from its
checkpoint when the same command is given again.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import os
import resource
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch: its threads must not spin

if TYPE_CHECKING:
    from segmentdreamer.config import GenerationConfig
    from segmentdreamer.optimize import Run


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Make one 3D Gaussian asset from a prompt by score distillation.",
        epilog="Outputs: asset.ply (3DGS), train.csv, cost.json, provenance.json.",
    )
    parser.add_argument("--prompt", required=True, help="what to make, without view words")
    parser.add_argument("--method", required=True, help="a name in baselines/methods.yaml, e.g. sctd")
    parser.add_argument("--out", type=Path, help="folder to write to (default: assets/METHOD/PROMPT)")
    parser.add_argument("--scale", default="mini", help="mini, or a YAML file of your own (default: mini)")
    parser.add_argument("--seed", type=int, default=0, help="(default: 0)")
    parser.add_argument("--prompt-id", help="name for seeds and files (default: made from the prompt)")
    parser.add_argument("--camera-preset", metavar="KIND",
                        help="object, animal or head: the views that suit the prompt, where the scale "
                        "leaves the choice to it (default: object)")  # fmt: skip
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE",
                        help="override a configuration value; may be given again")  # fmt: skip
    parser.add_argument("--device", help="cpu or cuda (default: cuda where there is one)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: 1)")
    parser.add_argument("--checkpoint", type=Path, help="checkpoint file (default: in --out)")
    parser.add_argument("--profile", action="store_true", help="print where the time went")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse_arguments(argv)
    os.environ.setdefault("NUMBA_NUM_THREADS", str(args.threads))
    try:
        generate(args)
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f"error: {error}")


def generate(args: argparse.Namespace) -> None:
    """Check everything, then optimize, then write; nothing is written before the inputs are good."""
    began = time.time()
    import torch

    from segmentdreamer.config import load_config
    from segmentdreamer.methods import hyper_parameters, load_method, trunk_settings
    from segmentdreamer.records import run_key
    from segmentdreamer.start.shapes import located, start_digest

    prompt_id = args.prompt_id or "-".join(args.prompt.lower().split())
    config = load_config(args.scale, [*trunk_settings(args.method), *args.set], args.camera_preset)
    config = dataclasses.replace(config, start=located(config.start, prompt_id, args.seed))
    method = load_method(args.method, config.methods.get(args.method, {}))
    if config.prompts.perp_neg and not getattr(method, "has_perp_neg", True):
        raise ValueError(f"{args.method} has no Perp-Neg; set prompts.perp_neg to false")
    torch.set_num_threads(args.threads)
    device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    digest = check_weights(config)
    out = args.out or Path("assets") / args.method / prompt_id
    checkpoint = args.checkpoint or out / ".checkpoint.pt"
    chosen = hyper_parameters(method)
    inputs = [digest, start_digest(config.start)]
    key = run_key(config, args.method, chosen, args.prompt, prompt_id, args.seed, inputs, device)

    run, watch, failure = optimize_asset(args, config, method, prompt_id, device, checkpoint, key)
    write_outputs(run, out, failure)
    write_records(run, out, args, config, chosen, prompt_id, device, digest, time.time() - began, failure)
    checkpoint.unlink(missing_ok=True)
    if failure:
        print(f"failed: {failure}; {out / 'asset.ply'} is empty", file=sys.stderr)
    if args.profile:
        print(watch.table(run.cost.seconds), file=sys.stderr)


def optimize_asset(
    args: argparse.Namespace,
    config: GenerationConfig,
    method: Any,
    prompt_id: str,
    device: str,
    checkpoint: Path,
    key: str,
) -> tuple[Run, Any, str]:
    """The finished run, resumed from its checkpoint where there is one, and why it failed, if it did."""
    from segmentdreamer.optimize import (
        READ_EVERY,
        AssetFailed,
        check_progress,
        optimize,
        read_rows,
        save_checkpoint,
    )
    from segmentdreamer.prior.diffusers_prior import open_prior
    from segmentdreamer.prior.view_prompts import embed_views
    from segmentdreamer.start.shapes import start_seed
    from segmentdreamer.timing.stopwatch import Stopwatch
    from segmentdreamer.timing.warmup import warm_up

    seed = start_seed(prompt_id, args.seed)
    prior = open_prior(config.prior, device, args.threads)
    prompts = embed_views(prior, args.prompt, config.prompts)
    run = begin_or_resume(config, seed, device, checkpoint, key)
    if run.step and not args.quiet:
        print(f"resuming at step {run.step} of {config.train.steps}", file=sys.stderr)
    warm_up(run, method, prior, prompts, config, seed)
    watch = Stopwatch(synchronize=args.profile)
    bar = progress_bar(args, config, run)

    def after_step(state: Run) -> None:
        bar.update(1)
        if state.step % READ_EVERY == 0 or state.step == config.train.steps:
            check_progress(state, config.train.patience)
            row = state.rows[-1]
            bar.set_postfix(gradient=f"{row['gradient_rms']:.3g}", nfe=row["nfe"], gaussians=row["gaussians"])
        if state.step % config.train.checkpoint_every == 0 and state.step < config.train.steps:
            save_checkpoint(state, checkpoint, key)

    failure = ""
    with bar:
        try:
            optimize(run, method, prior, prompts, config, seed, watch, after_step)
        except AssetFailed as error:
            failure = str(error)
            read_rows(run.rows)
    return run, watch, failure


def begin_or_resume(config: GenerationConfig, seed: int, device: str, checkpoint: Path, key: str) -> Run:
    """The run of the checkpoint, if it belongs to these inputs, or one at its start."""
    import torch

    from segmentdreamer.optimize import load_checkpoint, start_run
    from segmentdreamer.start.shapes import start_state

    run = load_checkpoint(checkpoint, key, config, device)
    if run is not None:
        return run
    start = start_state(config.start, seed)
    return start_run({k: torch.nn.Parameter(v.to(device)) for k, v in start.items()}, config)


def progress_bar(args: argparse.Namespace, config: GenerationConfig, run: Run) -> Any:
    from tqdm import tqdm

    return tqdm(
        total=config.train.steps, initial=run.step, desc=f"{args.method} {args.prompt!r}",
        disable=args.quiet, mininterval=0.5, unit="step",
    )  # fmt: skip


def check_weights(config: GenerationConfig) -> str:
    """The digest of the prior's folder; ValueError if it is missing or not the one configured."""
    from segmentdreamer.records import folder_digest

    folder = Path(config.prior.path)
    if not (folder / "model_index.json").is_file():
        raise FileNotFoundError(f"no diffusers pipeline at {folder} (prior.path)")
    digest = folder_digest(folder)
    if config.prior.sha256 and digest != config.prior.sha256:
        raise ValueError(
            f"weights at {folder} have SHA-256 {digest}, not the configured {config.prior.sha256}"
        )
    return digest


def write_outputs(run: Run, out: Path, failure: str) -> None:
    """asset.ply, without a single Gaussian if the run failed, and train.csv."""
    from segmentdreamer.scene.gaussians import save_ply

    kept = 0 if failure else None
    save_ply({name: value.detach()[:kept] for name, value in run.params.items()}, out / "asset.ply")
    names = list(dict.fromkeys(name for row in run.rows for name in row))
    with (out / "train.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, names, restval="")
        writer.writeheader()
        writer.writerows(run.rows)


def describe_cost(
    run: Run, config: GenerationConfig, device: str, digest: str, wall: float, failure: str
) -> dict[str, Any]:
    """What cost.json says; `alone` tells whether `seconds` may be compared with another run's."""
    import torch

    # Before the arithmetic is counted, which may import diffusers.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # KiB on Linux
    from segmentdreamer.timing.flops import known_work

    cost, others = run.cost, run.cost.others_cores
    work = known_work(Path(config.prior.path), config.render.size, digest)
    flop = work.total(cost.nfe, cost.encodes, cost.decodes, cost.unet_backwards)
    figures = {
        "seconds": round(cost.seconds, 3),  # in steps, first to last, over all resumes, as the next six
        "cpu_seconds": round(cost.cpu_seconds, 3),  # of this process, user and system
        "others_cores": None if others is None else round(others, 3),  # that other processes kept busy
        "alone": cost.alone,
        "nfe": cost.nfe,
        "encodes": cost.encodes,
        "decodes": cost.decodes,
        "tflop": float(f"{flop / 1e12:.6g}"),  # of the networks, counted
        "wall_seconds": round(wall, 3),  # this process, start-up included
        "steps": run.step,
        "skipped_steps": int(sum(row["skipped"] for row in run.rows)),
        "held_back": sum(row["held_back"] for row in run.rows),  # by optimizer.max_gaussians
        "peak_memory_mib": round(peak, 1),
        "gaussians": len(run.params["means"]),
        "device": device,
        "failed": failure,  # empty, or the reason
    }
    if device != "cpu":
        figures["peak_gpu_memory_mib"] = round(torch.cuda.max_memory_reserved() / 2**20, 1)
        figures["unseen"] = "what other processes did on the GPU"  # by others_cores and alone
    return figures


def write_records(
    run: Run,
    out: Path,
    args: argparse.Namespace,
    config: GenerationConfig,
    chosen: dict[str, Any],
    prompt_id: str,
    device: str,
    digest: str,
    wall: float,
    failure: str,
) -> None:
    """cost.json and provenance.json."""
    from segmentdreamer import records as provenance
    from segmentdreamer.start.shapes import start_digest

    provenance.write_json(out / "cost.json", describe_cost(run, config, device, digest, wall, failure))
    record = {
        "prompt": args.prompt,
        "prompt_id": prompt_id,
        "method": args.method,
        "hyper_parameters": chosen,
        "seed": args.seed,
        "config": dataclasses.asdict(config),
        "weights_sha256": digest,
        "start_sha256": start_digest(config.start),  # of its file; empty for a shape
        "asset_sha256": provenance.file_digest(out / "asset.ply"),
        "versions": provenance.package_versions(),
        "machine": provenance.describe_machine(device),
    }
    provenance.write_json(out / "provenance.json", record)


if __name__ == "__main__":
    main()
