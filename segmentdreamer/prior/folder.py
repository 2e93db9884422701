"""A StableDiffusionPipeline folder: what it says, where its weights are and, in a line, what is missing."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

from segmentdreamer.prior.schedule import Schedule, read_schedule
from segmentdreamer.records import read_record

NETWORKS = {"unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model", "text_encoder": "model"}
# Whose file may be read; a file without a name is taken for the first.
CLASSES = {
    "model_index.json": ("StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline"),
    "unet": ("UNet2DConditionModel",),
    "vae": ("AutoencoderKL",),
    "text_encoder": ("CLIPTextModel",),
}
POINTER = b"version https://git-lfs.github.com/spec/"
# Settings under which a network takes another input or means another output, and what they are where they
# change nothing.
MEANINGS: dict[str, dict[str, tuple[Any, ...]]] = {
    "unet": {
        "addition_embed_type": (None, "text"),
        "class_embed_type": (None,),
        "encoder_hid_dim": (None,),
        "time_cond_proj_dim": (None,),
    },
    "vae": {"shift_factor": (None, 0), "latents_mean": (None,), "latents_std": (None,)},
}


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file; FileNotFoundError or ValueError, in one line that names the file."""
    if not path.is_file():
        raise FileNotFoundError(f"no diffusers pipeline (prior.path): no file {path}")
    return read_record(path)


def read_scheduler(folder: Path) -> Schedule:
    """The noise schedule of a folder; ValueError, which names the file, for one that losses cannot use."""
    path = folder / "scheduler" / "scheduler_config.json"
    try:
        return read_schedule(read_json(path))
    except ValueError as error:
        raise ValueError(str(error) if str(path) in str(error) else f"{path}: {error}") from error


def read_latent_shape(folder: Path) -> tuple[int, int, int]:
    """Channels, height and width of a folder's latents; ValueError for networks of other inputs or scales."""
    unet, vae = (read_json(folder / part / "config.json") for part in ("unet", "vae"))
    for part, config in (("unet", unet), ("vae", vae)):
        for name, harmless in MEANINGS[part].items():
            if config.get(name) not in harmless:
                raise ValueError(f"{folder / part / 'config.json'}: {name} {config[name]!r} is not supported")
    channels, latent = unet.get("in_channels", 4), vae.get("latent_channels", 4)
    if not channels == unet.get("out_channels", 4) == latent:
        raise ValueError(
            f"{folder}: the UNet takes {channels} channels, the autoencoder's latents have {latent}"
        )
    side = read_side(unet)
    return channels, side, side


def read_side(unet: Mapping[str, Any]) -> int:
    """The side of the latents that a UNet's configuration tells of; ValueError where they are no squares."""
    found = unet.get("sample_size") or 64
    sides = {*found} if isinstance(found, list | tuple) else {found}
    if len(sides) > 1:
        raise ValueError(f"sample_size {found} of the UNet is no square; pictures are")
    return int(sides.pop())


def read_reduction(folder: Path) -> int:
    """Pixels to a latent's side."""
    return 2 ** (len(read_json(folder / "vae" / "config.json").get("block_out_channels", [64])) - 1)


def check_folder(folder: Path) -> None:
    """FileNotFoundError or ValueError, in one line that names a file, unless the folder can be loaded."""
    for part, classes in CLASSES.items():
        path = folder / (part if part.endswith(".json") else f"{part}/config.json")
        found = read_json(path)
        named = found.get("_class_name") or (found.get("architectures") or [classes[0]])[0]
        if named not in classes:
            raise ValueError(f"{path} is of a {named}; expected {' or '.join(classes)}")
    read_scheduler(folder)
    read_latent_shape(folder)
    read_json((tokenizer := folder / "tokenizer") / "tokenizer_config.json")
    if not (tokenizer / "tokenizer.json").is_file():
        lacking = [name for name in ("vocab.json", "merges.txt") if not (tokenizer / name).is_file()]
        if lacking:
            raise FileNotFoundError(f"no file {tokenizer / 'tokenizer.json'}, nor {lacking[0]} in its place")
    for part in NETWORKS:
        for path in find_weights(folder / part)[0]:
            read_header(path)
    width, wanted = (
        read_json(folder / part / "config.json").get(key)
        for part, key in (("text_encoder", "hidden_size"), ("unet", "cross_attention_dim"))
    )
    if None not in (width, wanted) and width != wanted:
        raise ValueError(f"{folder}: the UNet reads texts of width {wanted}, the text encoder gives {width}")


def find_weights(part: Path) -> tuple[list[Path], str | None]:
    """The safetensors file or shards of a network, and their variant: None or "fp16"; FileNotFoundError."""
    stem = NETWORKS[part.name]
    for variant, infix in ((None, ""), ("fp16", ".fp16")):
        for index in (f"{stem}.safetensors.index{infix}.json", f"{stem}{infix}.safetensors.index.json"):
            if (part / index).is_file():
                shards = sorted({part / name for name in read_index(part / index).values()})
                if lacking := [path.name for path in shards if not path.is_file()]:
                    raise FileNotFoundError(f"{part / index} names {lacking[0]}, which is not there")
                return shards, variant
        if (whole := part / f"{stem}{infix}.safetensors").is_file():
            return [whole], variant
    raise FileNotFoundError(
        f"no file {part / stem}.safetensors, nor {stem}.safetensors.index.json, nor either of fp16"
    )


def read_index(path: Path) -> dict[str, str]:
    """Which shard has which tensor; ValueError for a file that does not say so."""
    found = read_json(path).get("weight_map")
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found.values()) or not found:
        raise ValueError(f"{path} has no weight_map, which names the shard of each tensor")
    return found


def count_parameters(part: Path) -> int:
    """How many numbers a network's safetensors files hold, read from their headers."""
    total = 0
    for path in find_weights(part)[0]:
        total += sum(prod(entry["shape"]) for entry in read_header(path).values())
    return total


def read_header(path: Path) -> dict[str, Any]:
    """The tensors of a safetensors file, as its header has them; ValueError if it is none or is not whole."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        if stream.read(len(POINTER)) == POINTER:
            raise ValueError(
                f"{path} is a pointer of Git LFS, not the weights: fetch them with `git lfs pull`"
            )
        stream.seek(0)
        length = int.from_bytes(stream.read(8), "little")
        if length > size - 8:
            raise ValueError(
                f"{path} is no whole safetensors file: {size} bytes, of which {length} are a header"
            )
        with loading(path):
            tensors = {k: v for k, v in json.loads(stream.read(length)).items() if k != "__metadata__"}
            end = 8 + length + max((entry["data_offsets"][1] for entry in tensors.values()), default=0)
            if end != size:
                raise ValueError(f"it has {size} bytes, and its header tells of {end}")
    return tensors


@contextmanager
def loading(path: Path) -> Iterator[None]:
    """Turn whatever a library raises while it reads `path` into a ValueError of one line."""
    try:
        yield
    except Exception as error:  # of several libraries, of several kinds
        reason = re.sub(r"\s+", " ", str(error)).strip() or type(error).__name__
        raise ValueError(f"{path} cannot be loaded: {reason[:200]}") from error
