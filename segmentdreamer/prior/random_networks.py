"""Stable Diffusion 2.1-base without its weights: its shapes, and networks of any shape with random ones."""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from segmentdreamer.prior.diffusers_prior import DiffusersPrior, open_prior
from segmentdreamer.prior.options import NetworkOptions, PriorConfig
from segmentdreamer.prior.torch_networks import TorchNetworks, vae_type
from segmentdreamer.randomness import generator
from segmentdreamer.records import write_json

TOKENS = 77  # of a prompt, padded

# What its files say wherever they differ from diffusers' defaults (github.com/Stability-AI/stablediffusion,
# configs/stable-diffusion/v2-inference.yaml, in diffusers' words).
SD21_BASE: dict[str, dict[str, Any]] = {
    "model_index.json": {"_class_name": "StableDiffusionPipeline"},
    "unet/config.json": {
        "_class_name": "UNet2DConditionModel",
        "sample_size": 64,
        "block_out_channels": [320, 640, 1280, 1280],
        "attention_head_dim": [5, 10, 20, 20],  # the numbers of heads, in spite of the name
        "cross_attention_dim": 1024,
        "use_linear_projection": True,
    },
    "vae/config.json": {
        "_class_name": "AutoencoderKL",
        "sample_size": 768,
        "block_out_channels": [128, 256, 512, 512],
        "layers_per_block": 2,
        "latent_channels": 4,
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
        "scaling_factor": 0.18215,
    },
    "scheduler/scheduler_config.json": {
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "num_train_timesteps": 1000,
        "prediction_type": "epsilon",
        "steps_offset": 1,
    },
}


def write_shapes(folder: Path) -> Path:
    """A pipeline folder of SD 2.1-base that holds its JSON files and no weights."""
    for name, content in SD21_BASE.items():
        write_json(folder / name, content)
    return folder


def build_modules(folder: Path, device: str) -> tuple[Any, Any]:
    """The UNet and autoencoder that a folder describes, with initial weights; on "meta" with shapes alone."""
    import segmentdreamer.torchvision_guard  # noqa: F401  (before diffusers)

    from diffusers import AutoencoderKL, UNet2DConditionModel

    with torch.device(device):
        return tuple(
            cls.from_config(json.loads((folder / part / "config.json").read_text("utf-8")))
            for cls, part in ((UNet2DConditionModel, "unet"), (AutoencoderKL, "vae"))
        )


def random_networks(
    folder: Path, device: str, dtype: torch.dtype, options: NetworkOptions | None = None, seed: int = 0
) -> TorchNetworks:
    """Networks in memory that have a folder's shapes and random weights and embeddings."""
    torch.manual_seed(seed)
    unet, vae = build_modules(folder, device)
    width = unet.config["cross_attention_dim"]

    def embed(texts: Sequence[str]) -> Tensor:
        drawn = (generator(seed, f"embedding of {text}") for text in texts)
        return torch.stack([torch.randn(TOKENS, width, generator=g) for g in drawn])

    # Not the modules' own `to`, which warns of layers that these networks do not have.
    torch.nn.Module.to(unet, dtype)
    torch.nn.Module.to(vae, vae_type(options, dtype))
    return TorchNetworks(unet, vae, embed, device, options)


def open_random(config: PriorConfig, device: str, threads: int) -> DiffusersPrior:
    """What `prior.class` may name: random weights in the shapes of `prior.path`, else of SD 2.1-base."""
    with tempfile.TemporaryDirectory() as scratch:
        path = config.path or str(write_shapes(Path(scratch)))
        return open_prior(replace(config, class_="", path=path), device, threads, random_networks)
