"""The reference set of FID: the prior's own images of every prompt, kept as features.

    python -m eval.reference draw --prior toybox/models/prior --prompts prompts/toybox.tsv --count 48 \\
        --shard 0 --of 1 --out shard.npz
    python -m eval.reference merge --shards shard.npz --prompts prompts/toybox.tsv --out FOLDER
    python -m eval.reference views --prior ... --prompts ... --prompt-id p01 --count 120 --out views.zip

Images live only as long as their features take. A killed shard goes on from the batches in --scratch.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Annotated

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
from typer import BadParameter

from segmentdreamer.command import Program, Prompts, Threads, inputs, outputs, settings
from segmentdreamer.records import file_digest, folder_digest, replacing, run_key, shipped, write_json

from .origin import ORIGIN, check_origin
from .samples import Batch, Sampler, batches, load_prior
from .samples import draw as draw_images
from .samples import shard as part_of

SHOWN = 16  # images a prompt on the contact sheet

Prior = Annotated[Path, inputs("a StableDiffusionPipeline folder")]
Count = Annotated[int, settings("images a prompt", min=1)]
Steps = Annotated[int, settings("DDIM steps", min=1)]
Omega = Annotated[float, settings("guidance scale")]
Negative = Annotated[str, settings("negative prompt")]


def draw(
    prior: Prior,
    prompts: Prompts,
    out: Annotated[Path, outputs("the shard, .npz")],
    count: Count = 1250,
    steps: Steps = 25,
    omega: Omega = 7.5,
    negative: Negative = "",
    shard: Annotated[int, settings("0 .. of-1", min=0)] = 0,
    of: Annotated[int, settings("number of shards", min=1)] = 1,
    clip: Annotated[str, inputs("open_clip model name")] = "toybox-clip",
    clip_weights: Annotated[str, inputs("its weights")] = "toybox/models/clip/model.safetensors",
    inception: Annotated[Path | None, inputs("weights of FID's Inception")] = None,
    scratch: Annotated[Path | None, outputs("folder of finished batches (default: beside --out)")] = None,
    threads: Threads = 1,
) -> None:
    """Draw one shard: features as SPACE/PROMPT/FIRST, a few thumbnails, and how they were made."""
    import torch

    from ..prompt_table import read_prompts
    from ..scores.scorers import features_of, load_models

    torch.set_num_threads(threads)
    table = read_prompts(prompts)
    texts = dict(zip(table["id"], table["prompt"], strict=True))
    sampler = Sampler(steps, omega, negative)
    work = part_of(batches(list(texts), count), shard, of)
    network = load_prior(prior, threads)
    models = load_models(clip, str(shipped(clip_weights)), None, inception, device=network.device)
    record = {
        "sampler": sampler.describe(),
        "count": count,
        "weights": models.weights,
        "prior_sha256": folder_digest(prior),
        "texts": texts,
    }
    begun = scratch or out.with_suffix(".parts")
    parts = begun / run_key(record)  # those of other settings or texts are not gone on from
    parts.mkdir(parents=True, exist_ok=True)
    open_work = [batch for batch in work if not (parts / f"{batch.name}.npz").exists()]
    began = time.time()
    for i, (batch, images) in enumerate(draw_images(network, texts, open_work, sampler, "reference")):
        features = features_of(models, images)
        save_part(parts / f"{batch.name}.npz", features, images[: SHOWN if batch.first == 0 else 0])
        report(i + 1, len(open_work), time.time() - began, batch)
    join_parts(work, parts, record, out)
    shutil.rmtree(begun)


def save_part(path: Path, features: dict[str, np.ndarray], thumbnails: np.ndarray) -> None:
    """One batch, atomically: a killed shard leaves whole parts only."""
    with replacing(path) as partial, partial.open("wb") as stream:
        np.savez(stream, thumbnails=thumbnails, **features)  # type: ignore[arg-type]


def report(done: int, of: int, seconds: float, batch: Batch) -> None:
    left = seconds / done * (of - done)
    print(f"[{done}/{of}] {batch.name}, {left / 60:.1f} min left", file=sys.stderr, flush=True)


def join_parts(work: list[Batch], parts: Path, record: dict, out: Path) -> None:
    arrays: dict[str, np.ndarray] = {}
    for batch in work:
        part = np.load(parts / f"{batch.name}.npz")
        for space in part.files:
            if len(part[space]):
                arrays[f"{space}/{batch.prompt_id}/{batch.first:06d}"] = part[space]
    out.parent.mkdir(parents=True, exist_ok=True)
    np.savez(out, record=np.array(json.dumps(record)), **arrays)  # type: ignore[arg-type]


def merge(
    shards: Annotated[list[Path], inputs("all of them", metavar="FILE...")],
    prompts: Prompts,
    out: Annotated[Path, outputs("folder of the reference set")],
) -> None:
    """Merge shards into features.npz (SPACE/PROMPT, and record), statistics.npz, manifest.json, sheet.png."""
    from ..distances.frechet import Moments, save_moments
    from ..prompt_table import read_prompts

    table = read_prompts(prompts)
    ids, texts = table["id"].tolist(), dict(zip(table["id"], table["prompt"], strict=True))
    arrays = [np.load(path) for path in shards]
    records = [str(stored["record"]) for stored in arrays]
    if len(set(records)) > 1:
        raise ValueError("the shards were drawn with different settings; delete them and draw again")
    record = json.loads(records[0])
    check_origin(record, shards[0], texts, {})
    stored = {name: part for part in arrays for name in part.files}
    spaces = sorted({name.split("/")[0] for name in stored if "/" in name} - {"thumbnails"})
    features = {f"{space}/{name}": gather(stored, space, name) for space in spaces for name in ids}
    out.mkdir(parents=True, exist_ok=True)
    write_sheet([gather(stored, "thumbnails", name) for name in ids], out / "sheet.png")
    pooled = {space: np.concatenate([features[f"{space}/{name}"] for name in ids]) for space in spaces}
    save_moments({space: Moments.of(values) for space, values in pooled.items()}, out / "statistics.npz")
    manifest = record | {
        "prompts": len(ids),
        "images": {space: len(values) for space, values in pooled.items()},
        "shards": {path.name: file_digest(path) for path in shards},
    }
    write_json(out / "manifest.json", manifest)
    features[ORIGIN] = np.array(records[0])
    np.savez(out / "features.npz", **features)  # type: ignore[arg-type]


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


def views(
    prior: Prior,
    prompts: Prompts,
    prompt_id: Annotated[list[str], inputs("whose views", metavar="ID...")],
    out: Annotated[list[Path], outputs("views.zip of each prompt", metavar="FILE...")],
    count: Count = 1250,
    steps: Steps = 25,
    omega: Omega = 7.5,
    negative: Negative = "",
    seed: Annotated[int, settings("of the images")] = 0,
    threads: Threads = 1,
) -> None:
    """Draw images of prompts as views.zip, independent of the reference set: the ceiling row."""
    import torch

    from ..prompt_table import read_prompts
    from ..views.archive import write_views

    if len(prompt_id) != len(out):
        raise BadParameter("--prompt-id and --out need as many values as there are prompts")
    torch.set_num_threads(threads)
    table = read_prompts(prompts)
    texts = dict(zip(table["id"], table["prompt"], strict=True))
    work = [batch for name in prompt_id for batch in batches([name], count)]
    images: dict[str, list[np.ndarray]] = {name: [] for name in prompt_id}
    sampler = Sampler(steps, omega, negative)
    for batch, drawn in draw_images(load_prior(prior, threads), texts, work, sampler, f"views-{seed}"):
        images[batch.prompt_id].append(drawn)
        print(batch.name, file=sys.stderr, flush=True)
    for name, path in zip(prompt_id, out, strict=True):
        rgb = np.concatenate(images[name])
        write_views(np.concatenate([rgb, np.full_like(rgb[..., :1], 255)], axis=-1), path)


main = Program(draw, merge, views)

if __name__ == "__main__":
    main()
