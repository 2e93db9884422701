"""The reference set of FID: the prior's own images of every prompt, kept as features.

    python -m eval.reference draw --prior toybox/models/prior --prompts prompts/toybox.tsv --count 48 \\
        --shard 0 --of 1 --out shard.npz
    python -m eval.reference merge --shards shard.npz --prompts prompts/toybox.tsv --out FOLDER
    python -m eval.reference views --prior ... --prompts ... --prompt-id p01 --count 120 --out views.zip

Images live only as long as their features take. A killed shard goes on from the batches in --scratch.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np

from segmentdreamer.records import file_digest, folder_digest, replacing, run_key, write_json

from .origin import ORIGIN, check_origin
from .samples import Batch, Sampler, batches, draw, load_prior, shard

SHOWN = 16  # images a prompt on the contact sheet


def draw_shard(args: argparse.Namespace) -> None:
    """One shard: features as SPACE/PROMPT/FIRST, a few thumbnails, and how they were made."""
    from ..prompt_table import read_prompts
    from ..scores.scorers import features_of, load_models

    prompts = read_prompts(args.prompts)
    texts = dict(zip(prompts["id"], prompts["prompt"], strict=True))
    sampler = Sampler(args.steps, args.omega, args.negative)
    work = shard(batches(list(texts), args.count), args.shard, args.of)
    prior = load_prior(args.prior, args.threads)
    models = load_models(args.clip, args.clip_weights, None, args.inception, device=prior.device)
    record = {
        "sampler": sampler.describe(),
        "count": args.count,
        "weights": models.weights,
        "prior_sha256": folder_digest(args.prior),
        "texts": texts,
    }
    begun = args.scratch or args.out.with_suffix(".parts")
    scratch = begun / run_key(record)  # parts of other settings or texts are not gone on from
    scratch.mkdir(parents=True, exist_ok=True)
    open_work = [batch for batch in work if not (scratch / f"{batch.name}.npz").exists()]
    began = time.time()
    for i, (batch, images) in enumerate(draw(prior, texts, open_work, sampler, "reference")):
        features = features_of(models, images)
        save_part(scratch / f"{batch.name}.npz", features, images[: SHOWN if batch.first == 0 else 0])
        report(i + 1, len(open_work), time.time() - began, batch)
    join_parts(work, scratch, record, args.out)
    shutil.rmtree(begun)


def save_part(path: Path, features: dict[str, np.ndarray], thumbnails: np.ndarray) -> None:
    """One batch, atomically: a killed shard leaves whole parts only."""
    with replacing(path) as partial, partial.open("wb") as stream:
        np.savez(stream, thumbnails=thumbnails, **features)  # type: ignore[arg-type]


def report(done: int, of: int, seconds: float, batch: Batch) -> None:
    left = seconds / done * (of - done)
    print(f"[{done}/{of}] {batch.name}, {left / 60:.1f} min left", file=sys.stderr, flush=True)


def join_parts(work: list[Batch], scratch: Path, record: dict, out: Path) -> None:
    arrays: dict[str, np.ndarray] = {}
    for batch in work:
        part = np.load(scratch / f"{batch.name}.npz")
        for space in part.files:
            if len(part[space]):
                arrays[f"{space}/{batch.prompt_id}/{batch.first:06d}"] = part[space]
    out.parent.mkdir(parents=True, exist_ok=True)
    np.savez(out, record=np.array(json.dumps(record)), **arrays)  # type: ignore[arg-type]


def merge(args: argparse.Namespace) -> None:
    """All shards as features.npz (SPACE/PROMPT, and record), statistics.npz, manifest.json and sheet.png."""
    from ..distances.frechet import Moments, save_moments
    from ..prompt_table import read_prompts

    prompts = read_prompts(args.prompts)
    ids, texts = prompts["id"].tolist(), dict(zip(prompts["id"], prompts["prompt"], strict=True))
    shards = [np.load(path) for path in args.shards]
    records = [str(stored["record"]) for stored in shards]
    if len(set(records)) > 1:
        raise ValueError("the shards were drawn with different settings; delete them and draw again")
    record = json.loads(records[0])
    check_origin(record, args.shards[0], texts, {})
    stored = {name: part for part in shards for name in part.files}
    spaces = sorted({name.split("/")[0] for name in stored if "/" in name} - {"thumbnails"})
    features = {f"{space}/{name}": gather(stored, space, name) for space in spaces for name in ids}
    args.out.mkdir(parents=True, exist_ok=True)
    write_sheet([gather(stored, "thumbnails", name) for name in ids], args.out / "sheet.png")
    pooled = {space: np.concatenate([features[f"{space}/{name}"] for name in ids]) for space in spaces}
    save_moments({space: Moments.of(values) for space, values in pooled.items()}, args.out / "statistics.npz")
    manifest = record | {
        "prompts": len(ids),
        "images": {space: len(values) for space, values in pooled.items()},
        "shards": {path.name: file_digest(path) for path in args.shards},
    }
    write_json(args.out / "manifest.json", manifest)
    features[ORIGIN] = np.array(records[0])
    np.savez(args.out / "features.npz", **features)  # type: ignore[arg-type]


def gather(stored: dict, kind: str, prompt_id: str) -> np.ndarray:
    """A prompt's arrays of one kind, in the order of their first index; ValueError if there is none."""
    names = sorted(name for name in stored if name.startswith(f"{kind}/{prompt_id}/"))
    if not names:
        raise ValueError(f"the shards have no {kind} of prompt {prompt_id}")
    return np.concatenate([stored[name][name] for name in names])


def write_sheet(rows: list[np.ndarray], path: Path, side: int = 128) -> None:
    """One row of samples for each prompt."""
    from PIL import Image

    shown = min(len(row) for row in rows)
    sheet = Image.fromarray(np.concatenate([np.concatenate(list(row[:shown]), axis=1) for row in rows]))
    scale = min(1.0, side / rows[0].shape[1])
    sheet.resize((round(sheet.width * scale), round(sheet.height * scale))).save(path)


def draw_views(args: argparse.Namespace) -> None:
    """Images of prompts as views.zip, independent of the reference set: the ceiling row."""
    from ..prompt_table import read_prompts
    from ..views.archive import write_views

    prompts = read_prompts(args.prompts)
    texts = dict(zip(prompts["id"], prompts["prompt"], strict=True))
    sampler = Sampler(args.steps, args.omega, args.negative)
    prior = load_prior(args.prior, args.threads)
    work = [batch for name in args.prompt_id for batch in batches([name], args.count)]
    images: dict[str, list[np.ndarray]] = {name: [] for name in args.prompt_id}
    for batch, drawn in draw(prior, texts, work, sampler, f"views-{args.seed}"):
        images[batch.prompt_id].append(drawn)
        print(batch.name, file=sys.stderr, flush=True)
    for name, out in zip(args.prompt_id, args.out, strict=True):
        rgb = np.concatenate(images[name])
        write_views(np.concatenate([rgb, np.full_like(rgb[..., :1], 255)], axis=-1), out)


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Draw the reference set, merge its shards, or draw views.")
    commands = parser.add_subparsers(required=True)
    drawing = argparse.ArgumentParser(add_help=False)
    drawing.add_argument("--prior", type=Path, required=True, help="a StableDiffusionPipeline folder")
    drawing.add_argument("--prompts", type=Path, required=True)
    drawing.add_argument("--count", type=int, default=1250, help="images a prompt (default: 1250)")
    drawing.add_argument("--steps", type=int, default=25, help="DDIM steps (default: 25)")
    drawing.add_argument("--omega", type=float, default=7.5, help="guidance scale (default: 7.5)")
    drawing.add_argument("--negative", default="", help="negative prompt (default: empty)")
    drawing.add_argument("--threads", type=int, default=1)
    one = commands.add_parser("draw", parents=[drawing], help="one shard of features")
    one.add_argument("--shard", type=int, default=0, help="0 .. of-1 (default: 0)")
    one.add_argument("--of", type=int, default=1, help="number of shards (default: 1)")
    one.add_argument("--clip", default="toybox-clip")
    one.add_argument("--clip-weights", default="toybox/models/clip/model.safetensors")
    one.add_argument("--inception", type=Path, help="weights of FID's Inception")
    one.add_argument("--scratch", type=Path, help="folder of finished batches (default: beside --out)")
    one.add_argument("--out", type=Path, required=True, help="the shard, .npz")
    one.set_defaults(run=draw_shard)
    joined = commands.add_parser("merge", help="shards to features, statistics, manifest and sheet")
    joined.add_argument("--shards", type=Path, nargs="+", required=True)
    joined.add_argument("--prompts", type=Path, required=True)
    joined.add_argument("--out", type=Path, required=True)
    joined.set_defaults(run=merge)
    views = commands.add_parser("views", parents=[drawing], help="images as views.zip, for the ceiling row")
    views.add_argument("--prompt-id", nargs="+", required=True)
    views.add_argument("--seed", type=int, default=0)
    views.add_argument("--out", type=Path, nargs="+", required=True, help="views.zip of each prompt")
    views.set_defaults(run=draw_views)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse_arguments(argv)
    import torch

    torch.set_num_threads(getattr(args, "threads", 1))
    try:
        args.run(args)
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
