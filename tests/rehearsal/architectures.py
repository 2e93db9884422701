"""The networks of the paper scale, at their true size and as small ones of the same formats.

Each function returns modules on the meta device: shapes without memory, in a second. Values come from
`random_weights`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import segmentdreamer.torchvision_guard  # noqa: F401  (before open_clip and diffusers)

import torch
from torch import nn

from segmentdreamer.prior.random_networks import SD21_BASE

VOCABULARY = 49408  # of CLIP's tokenizer
CONTEXT = 77

# Published parameter counts of the true sizes.
PUBLISHED = {
    "unet": 865_910_724,
    "vae": 83_653_863,
    "text_encoder": 340_387_840,
    "clip-vit-l14": 427_616_513,
    "inception": 23_850_960,
}


@dataclass(frozen=True)
class StableDiffusionSize:
    """What distinguishes one StableDiffusionPipeline from another."""

    side: int  # of the latents
    unet_channels: tuple[int, ...]
    unet_heads: tuple[int, ...]
    vae_channels: tuple[int, ...]
    width: int  # of the text embeddings
    text_layers: int
    text_heads: int
    unet_layers: int = 2
    vae_layers: int = 2
    groups: int = 32  # of GroupNorm


UNET, VAE = (SD21_BASE[f"{part}/config.json"] for part in ("unet", "vae"))
TRUE = StableDiffusionSize(
    side=UNET["sample_size"],
    unet_channels=UNET["block_out_channels"],
    unet_heads=UNET["attention_head_dim"],
    vae_channels=VAE["block_out_channels"],
    width=UNET["cross_attention_dim"],
    text_layers=23,
    text_heads=16,  # OpenCLIP-H without its last layer
)
# Latents of 8 pixels a side too, so that the same rules run; 64 px images.
TINY = replace(
    TRUE,
    side=8,
    unet_channels=(32, 64),
    unet_heads=(2, 4),
    unet_layers=1,
    vae_channels=(8, 8, 16, 16),
    vae_layers=1,
    groups=8,
    width=32,
    text_layers=2,
    text_heads=2,
)
SIZES = {"true": TRUE, "tiny": TINY}

# The small CLIP's definition, as open_clip reads it from a file beside its weights.
TINY_CLIP: dict[str, Any] = {
    "embed_dim": 32,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8},
    "text_cfg": {
        "context_length": CONTEXT,
        "vocab_size": VOCABULARY,
        "width": 32,
        "heads": 2,
        "layers": 2,
    },
}
CLIP_NAMES = {"true": "ViT-L-14-quickgelu", "tiny": "rehearsal-clip"}


def unet(size: StableDiffusionSize) -> Any:
    """The conditional UNet on 4-channel latents."""
    from diffusers import UNet2DConditionModel

    inner = len(size.unet_channels) - 1
    with torch.device("meta"):
        return UNet2DConditionModel(
            sample_size=size.side,
            block_out_channels=size.unet_channels,
            layers_per_block=size.unet_layers,
            attention_head_dim=size.unet_heads,  # diffusers' old name for the number of heads
            cross_attention_dim=size.width,
            down_block_types=("CrossAttnDownBlock2D",) * inner + ("DownBlock2D",),
            up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * inner,
            norm_num_groups=size.groups,
            use_linear_projection=True,
        )


def vae(size: StableDiffusionSize) -> Any:
    """The autoencoder: pictures of 8 times the latents' side."""
    from diffusers import AutoencoderKL

    levels = len(size.vae_channels)
    with torch.device("meta"):
        return AutoencoderKL(
            sample_size=8 * size.side,
            block_out_channels=size.vae_channels,
            layers_per_block=size.vae_layers,
            down_block_types=("DownEncoderBlock2D",) * levels,
            up_block_types=("UpDecoderBlock2D",) * levels,
            latent_channels=4,
            norm_num_groups=size.groups,
            scaling_factor=0.18215,
        )


def text_encoder(size: StableDiffusionSize) -> Any:
    """The text encoder, a CLIPTextModel."""
    from transformers import CLIPTextConfig, CLIPTextModel

    config = CLIPTextConfig(
        vocab_size=VOCABULARY,
        hidden_size=size.width,
        intermediate_size=4 * size.width,
        projection_dim=512,
        num_hidden_layers=size.text_layers,
        num_attention_heads=size.text_heads,
        max_position_embeddings=CONTEXT,
        hidden_act="gelu",
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
    )
    with torch.device("meta"):
        return CLIPTextModel(config)


def clip(size: str) -> nn.Module:
    """The scorer's CLIP: OpenAI's ViT-L/14 for `true`, a small one of the same classes for `tiny`."""
    import open_clip
    from open_clip.model import CLIP

    config = TINY_CLIP if size == "tiny" else open_clip.get_model_config(CLIP_NAMES[size])
    if config is None:
        raise ValueError(f"open_clip knows no {CLIP_NAMES[size]}")
    with torch.device("meta"):
        return CLIP(**{name: value for name, value in config.items() if name != "custom_text"})


def inception() -> nn.Module:
    """FID's Inception-v3; there is one size, since its features must have 2,048 columns."""
    from segmentdreamer.eval.scores.inception import InceptionV3

    with torch.device("meta"):
        return InceptionV3()


def parameters(module: nn.Module) -> int:
    """Number of parameters."""
    return sum(parameter.numel() for parameter in module.parameters())
