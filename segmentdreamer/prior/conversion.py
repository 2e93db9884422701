"""Priors that are no pipeline folder: a single-file checkpoint, and LoRA files laid over the networks.

Each becomes a folder in the cache, once, by diffusers' own loaders; whatever needs the prior reads that one.
LoRA is added to the weights it belongs to, W + scale alpha / r B A, which needs no further library.
"""

import os
import re
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from segmentdreamer.prior.folder import check_folder, loading
from segmentdreamer.prior.options import PriorConfig
from segmentdreamer.prior.torch_networks import load_part
from segmentdreamer.records import cache_folder, content_digest, file_digest, run_key

FORMAT = 2  # of the converted folders; raise it when they change
PARTS = ("unet", "text_encoder")  # what LoRA files of Stable Diffusion change
A, B = ".lora_A.weight", ".lora_B.weight"


def folder_of(config: PriorConfig) -> Path:
    """The pipeline folder of a prior, converted now if it is none and was not before.

    Raises FileNotFoundError and ValueError, in a line, for a file that cannot be converted.
    """
    path = Path(config.path)
    if config.class_ or not (path.is_file() or config.lora):
        return path
    if config.lora:
        own, lora = replace(config, lora=""), Path(config.lora)
        if not lora.is_file():
            raise FileNotFoundError(f"no file {lora} (prior.lora)")
        check_folder(source := folder_of(own))
        key = run_key(FORMAT, content_digest(source), file_digest(lora), config.lora_scale)
        return made(key, lambda out: lay_over(source, lora, config.lora_scale, out))
    key = run_key(FORMAT, file_digest(path), content_digest(config.like) if config.like else "")
    return made(key, lambda out: convert(path, config.like, out))


def made(key: str, make: Callable[[Path], None]) -> Path:
    """The folder of this key in the cache, written by `make` if it is not there yet."""
    place = cache_folder() / f"prior-{key}"
    partial = place.with_name(f"{place.name}.{os.getpid()}.part")
    try:
        if not place.exists():
            make(partial)
            with suppress(OSError):  # another process was faster
                partial.replace(place)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return place


def convert(path: Path, like: str, out: Path) -> None:
    """A single-file checkpoint (.safetensors, of Stable Diffusion's own names) as a pipeline folder.

    like: a pipeline folder of the same architecture, for what a single file lacks: configurations, tokenizer.
    """
    if path.suffix != ".safetensors":
        raise ValueError(f"{path} is no .safetensors file: pickled checkpoints may run code and are not read")
    if not like:
        raise ValueError(
            f"{path} holds weights alone: name a pipeline folder of its kind by prior.like, for "
            "configurations and tokenizer"
        )
    import segmentdreamer.torchvision_guard  # noqa: F401  (before diffusers)

    from diffusers import StableDiffusionPipeline

    with loading(path):
        pipeline = StableDiffusionPipeline.from_single_file(
            str(path), config=like, local_files_only=True, torch_dtype=torch.float32
        )
        pipeline.save_pretrained(out)


def lay_over(folder: Path, lora: Path, scale: float, out: Path) -> None:
    """A pipeline folder with a LoRA file (diffusers' format, or Kohya's) in its UNet and text encoder."""
    import segmentdreamer.torchvision_guard  # noqa: F401  (before diffusers)

    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextModel

    layers = read_lora(lora)
    shutil.copytree(folder, out)
    for part, cls in zip(PARTS, (UNet2DConditionModel, CLIPTextModel), strict=True):
        if mine := below(part, layers):
            network = load_part(cls, folder / part, torch.float32)
            add_layers(network, mine, scale, lora)
            shutil.rmtree(out / part)
            network.save_pretrained(out / part)


def below(part: str, named: Mapping[str, Any]) -> dict[str, Any]:
    """What belongs to a part, by the rest of its name."""
    return {name.removeprefix(f"{part}."): v for name, v in named.items() if name.startswith(f"{part}.")}


def read_lora(path: Path) -> dict[str, tuple[Tensor, Tensor, float]]:
    """part.module -> A (r, in, ...), B (out, r, ...), alpha / r; ValueError if the file has none of these."""
    from diffusers import StableDiffusionPipeline

    with loading(path):
        refuse_dora(path)
        state, alphas, told = StableDiffusionPipeline.lora_state_dict(
            str(path), local_files_only=True, use_safetensors=True, return_lora_metadata=True
        )
        for key, alpha in (alphas or {}).items():  # of Kohya's files
            name = key.removesuffix(".alpha")
            down = name if name in state else f"{name}.lora.down.weight"
            state[down] = state[down] * (alpha / len(state[down]))
        found: dict[str, tuple[Tensor, Tensor, float]] = {}
        for part in PARTS:
            mine = renamed(part, below(part, state))
            for key in (key for key in mine if key.endswith(A)):
                name, rank = key.removesuffix(A), len(mine[key])
                share = share_of(name, rank, below(part, told or {}))
                found[f"{part}.{name}"] = mine[key].float(), mine[name + B].float(), share
            if foreign := [key for key in mine if not key.endswith((A, B))]:
                raise ValueError(f"it has {foreign[0]}, and only layers lora_A and lora_B are added")
    if odd := [name for name, (a, b, _) in found.items() if not (a.isfinite().all() and b.isfinite().all())]:
        raise ValueError(f"{path}: {odd[0]} holds values that are not finite")
    if not found:
        raise ValueError(f"{path} holds no LoRA of a UNet or text encoder")
    return found


def share_of(name: str, rank: int, told: Mapping[str, Any]) -> float:
    """What B A of a layer is multiplied by: alpha / r, where ranks are stabilized alpha / sqrt(r).

    told: the metadata of the file. alpha: lora_alpha, or the one of alpha_pattern whose key ends the name, as
    PEFT reads it.
    """
    patterns = told.get("alpha_pattern") or {}
    alpha = next(
        (value for key, value in patterns.items() if re.fullmatch(rf"(.*\.)?({key})", name)),
        told.get("lora_alpha", rank),
    )
    return float(alpha) / (rank**0.5 if told.get("use_rslora") else rank)


def refuse_dora(path: Path) -> None:
    """ValueError if a file holds magnitudes of DoRA, which diffusers leaves out in part."""
    from safetensors import safe_open

    with safe_open(path, "pt") as stored:
        names = [*stored.keys()]
    if magnitudes := [key for key in names if "dora_scale" in key or "magnitude" in key]:
        raise ValueError(f"it is a DoRA ({magnitudes[0]}), and only LoRA layers are added")


def renamed(part: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Older names of LoRA layers as lora_A and lora_B, by diffusers' own tables."""
    from diffusers.utils import state_dict_utils as tables

    if not state or any(key.endswith(A) for key in state):
        return state
    if part == "unet":
        return tables.convert_unet_state_dict_to_peft(state)
    return tables.convert_state_dict_to_peft(tables.convert_state_dict_to_diffusers(state))


def add_layers(
    network: Any, layers: dict[str, tuple[Tensor, Tensor, float]], scale: float, path: Path
) -> None:
    """Add LoRA layers to the weights of a network; ValueError names one that does not fit."""
    modules = dict(network.named_modules())
    for name, (a, b, share) in layers.items():
        module = modules.get(
            name, modules.get(name.removeprefix("text_model."))
        )  # which transformers dropped
        weight = getattr(module, "weight", None)
        change = scale * share * (b.flatten(1) @ a.flatten(1))
        if weight is None or weight.numel() != change.numel():
            raise ValueError(f"{path} does not fit the prior: {name} is not there, or of another size")
        weight.data += change.view_as(weight)
