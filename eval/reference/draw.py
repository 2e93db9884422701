r"""The reference set of FID: the prior's own images of every prompt, kept as features.

    python -m eval.reference draw --prompts prompts/smoke.tsv --count 48 --out shard.npz
    python -m eval.reference merge --shards shard.npz --prompts prompts/smoke.tsv --out FOLDER
    python -m eval.reference views --prompts ... --prompt-id p01 --count 120 --out views.zip

A prompt is a shard. Images live only as long as their features take. What was killed goes on from the batches
in --scratch, and a shard that is there already, of the same, is left as it is.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from PIL import Image

from segmentdreamer.command import (
    BadUsage,
    Overrides,
    Program,
    Prompts,
    Scale,
    Threads,
    find_device,
    inputs,
    outputs,
    settings,
)
from segmentdreamer.records import file_digest, replacing, run_key, shipped, write_arrays, write_json

from ..distances.frechet import Moments, save_moments
from ..prompt_table import read_prompts
from ..views.archive import write_views
from .origin import ORIGIN, check_origin, open_features, read_origin
from .samples import Batch, Sampler, batches, configure, open_here
from .samples import draw as draw_images

SHOWN = 16  # images a prompt on the contact sheet


@dataclass(frozen=True)
class Shard:
    """One prompt's features: where they go, and what is done of them."""

    path: Path
    record: dict[str, Any]  # how they are made, with `texts` and `identity`
    work: list[Batch]
    scratch: Path  # folder of finished batches

    @property
    def parts(self) -> dict[Batch, Path]:
        """Each batch's own file; of another identity none is gone on from."""
        return {batch: self.scratch / self.record["identity"] / f"{batch.name}.npz" for batch in self.work}

    def is_drawn(self) -> bool:
        try:
            with open_features(self.path) as stored:
                return read_origin(stored, self.path) == self.record
        except (OSError, ValueError):
            return False

    def join(self) -> None:
        """Write the shard of its finished batches, which go."""
        arrays: dict[str, np.ndarray] = {}
        for batch, path in self.parts.items():
            part = np.load(path)
            for space in part.files:
                if len(part[space]):
                    arrays[f"{space}/{batch.prompt_id}/{batch.first:06d}"] = part[space]
        write_arrays(self.path, arrays | {ORIGIN: np.array(json.dumps(self.record))})
        shutil.rmtree(self.scratch / self.record["identity"])
        with suppress(OSError):  # of others, where it is not empty
            self.scratch.rmdir()


Prior = Annotated[Path | None, inputs("a StableDiffusionPipeline folder, instead of the scale's prior")]
Ids = Annotated[list[str] | None, inputs("of these prompts (default: all)", metavar="ID...")]
Places = Annotated[list[Path], outputs("a file for each prompt", metavar="FILE...")]
Count = Annotated[int, settings("images a prompt", min=1)]
Steps = Annotated[int, settings("DDIM steps", min=1)]
Omega = Annotated[float, settings("guidance scale")]


def draw(
    prompts: Prompts,
    out: Places,
    prior: Prior = None,
    scale: Scale = "mini",
    overrides: Overrides = None,
    prompt_id: Ids = None,
    count: Count = 1250,
    steps: Steps = 25,
    omega: Omega = 7.5,
    clip: Annotated[str, inputs("open_clip model name")] = "toybox-clip",
    clip_weights: Annotated[str, inputs("its weights")] = "toybox/models/clip/model.safetensors",
    inception: Annotated[Path | None, inputs("weights of FID's Inception")] = None,
    identity: Annotated[
        list[str] | None, inputs("of each shard (eval.identity), by the plan", metavar="DIGEST...")
    ] = None,
    scratch: Annotated[Path | None, outputs("folder of finished batches (default: beside --out)")] = None,
    threads: Threads = 1,
) -> None:
    """Draw prompts' shards: features as SPACE/PROMPT/FIRST, a few thumbnails, and how they were made."""
    import torch

    from segmentdreamer.prior.diffusers_prior import check_prior

    from ..scores.scorers import features_of, load_models

    torch.set_num_threads(threads)
    texts = choose(prompts, prompt_id, out)
    sampler, config = Sampler(steps, omega), configure(prior, scale, overrides)
    network = open_here(config, threads)
    models = load_models(clip, str(shipped(clip_weights)), None, inception, device=find_device(None))
    options = asdict(config) | {"path": "", "sha256": ""}
    record = {"sampler": sampler.describe(), "count": count, "weights": models.weights,
              "prior_sha256": check_prior(config), "prior": options}  # fmt: skip
    shards = []
    for (name, text), path, known in zip(texts.items(), out, identity or [""] * len(out), strict=True):
        own = record | {"texts": {name: text}, "identity": known or run_key(record, name, text)}
        begun = scratch or path.with_suffix(".parts")
        shards.append(Shard(path, json.loads(json.dumps(own)), batches([name], count), begun))
    shards = [shard for shard in shards if not shard.is_drawn()]
    open_work = {b: part for shard in shards for b, part in shard.parts.items() if not part.exists()}
    began = time.monotonic()
    for i, (batch, images) in enumerate(draw_images(network, texts, [*open_work], sampler, "reference"), 1):
        stored = {"thumbnails": images[: SHOWN if batch.first == 0 else 0], **features_of(models, images)}
        write_arrays(open_work[batch], stored)
        left = (time.monotonic() - began) / i * (len(open_work) - i) / 60
        print(f"[{i}/{len(open_work)}] {batch.name}, {left:.1f} min left", file=sys.stderr, flush=True)
    for shard in shards:
        shard.join()


def choose(prompts: Path, ids: list[str] | None, out: list[Path]) -> dict[str, str]:
    """id -> text of the prompts that are asked for; BadUsage unless each is there and has a place."""
    table = dict(read_prompts(prompts)[["id", "prompt"]].to_numpy())
    ids = ids or list(table)
    if unknown := [name for name in ids if name not in table]:
        raise BadUsage(f"{prompts} has no prompt {', '.join(unknown)}")
    if len(ids) != len(out):
        raise BadUsage("--prompt-id and --out need as many values as there are prompts")
    return {name: table[name] for name in ids}


def merge(
    shards: Annotated[list[Path], inputs("all of them", metavar="FILE...")],
    prompts: Prompts,
    out: Annotated[Path, outputs("folder of the reference set")],
    identity: Annotated[str, inputs("of the whole set (eval.identity), by the plan")] = "",
) -> None:
    """Merge shards into features.npz (SPACE/PROMPT, and record), statistics.npz, manifest.json, sheet.png."""
    texts = dict(read_prompts(prompts)[["id", "prompt"]].to_numpy())
    ids = list(texts)
    arrays = [np.load(path) for path in shards]
    origins = [read_origin(stored, path) for stored, path in zip(arrays, shards, strict=True)]
    drawn = {name: text for origin in origins for name, text in origin.pop("texts").items()}
    single = {path.stem: origin.pop("identity") for origin, path in zip(origins, shards, strict=True)}
    if any(origin != origins[0] for origin in origins):
        raise ValueError("the shards were drawn with different settings; delete them and draw again")
    record = origins[0] | {"texts": drawn, "identity": identity or run_key(single)}
    check_origin(record, shards[0].parent, texts, {})
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
        "identities": single,
    }
    write_json(out / "manifest.json", manifest)
    write_arrays(out / "features.npz", features | {ORIGIN: np.array(json.dumps(record))})


def gather(stored: dict, kind: str, prompt_id: str) -> np.ndarray:
    """A prompt's arrays of one kind, in the order of their first index; ValueError if there is none."""
    names = sorted(name for name in stored if name.startswith(f"{kind}/{prompt_id}/"))
    if not names:
        raise ValueError(f"the shards have no {kind} of prompt {prompt_id}")
    return np.concatenate([stored[name][name] for name in names])


def write_sheet(rows: list[np.ndarray], path: Path, side: int = 128) -> None:
    """One row of samples for each prompt."""
    shown = min(len(row) for row in rows)
    sheet = Image.fromarray(np.concatenate([np.concatenate(list(row[:shown]), axis=1) for row in rows]))
    scale = min(1.0, side / rows[0].shape[1])
    with replacing(path) as partial:
        sheet.resize((round(sheet.width * scale), round(sheet.height * scale))).save(partial, "PNG")


def views(
    prompts: Prompts,
    out: Places,
    prior: Prior = None,
    scale: Scale = "mini",
    overrides: Overrides = None,
    prompt_id: Ids = None,
    count: Count = 1250,
    steps: Steps = 25,
    omega: Omega = 7.5,
    seed: Annotated[int, settings("of the images")] = 0,
    threads: Threads = 1,
) -> None:
    """Draw images of prompts as views.zip, independent of the reference set: the ceiling row."""
    import torch

    torch.set_num_threads(threads)
    texts = choose(prompts, prompt_id, out)
    work = [batch for name in texts for batch in batches([name], count)]
    images: dict[str, list[np.ndarray]] = {name: [] for name in texts}
    network = open_here(configure(prior, scale, overrides), threads)
    for batch, drawn in draw_images(network, texts, work, Sampler(steps, omega), f"views-{seed}"):
        images[batch.prompt_id].append(drawn)
        print(batch.name, file=sys.stderr, flush=True)
    for name, path in zip(texts, out, strict=True):
        rgb = np.concatenate(images[name])
        write_views(np.concatenate([rgb, np.full_like(rgb[..., :1], 255)], axis=-1), path)


main = Program(draw, merge, views)
