"""The networks of a StableDiffusionPipeline folder, in PyTorch through diffusers and transformers.

`onnx_networks` offers the same five names to CPUs, faster and without these two libraries.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from segmentdreamer.prior.folder import find_weights, loading
from segmentdreamer.prior.options import NetworkOptions

COMPILER = "inductor"  # torch.compile's backend

Embed = Callable[[Sequence[str]], Tensor]


class Networks(Protocol):
    """What a prior needs of its networks; tensors enter and leave in the networks' own type."""

    reduction: int  # pixels to a latent's side: 8 for Stable Diffusion, 4 for the toybox
    scaling_factor: float

    def predict(self, x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        """Noise prediction (B, 4, h, w); t (B,), cond (B, L, D)."""
        ...

    def moments(self, images: Tensor) -> Tensor:
        """Mean and log-variance of the latent posterior (B, 8, h, w) of images in [-1, 1]."""
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """Images in [-1, 1] of unscaled latents."""
        ...

    def embed(self, texts: Sequence[str]) -> Tensor:
        """Text embeddings (T, L, D) float32."""
        ...


class TorchNetworks:
    """A UNet and an autoencoder of diffusers' in PyTorch on any device, frozen.

    embed: what turns texts into embeddings (T, L, D) float32, wherever it computes.
    """

    def __init__(self, unet: Any, vae: Any, embed: Embed, device: str, options: NetworkOptions | None = None):
        options = options or NetworkOptions()
        self.unet = unet.to(device).eval().requires_grad_(False)
        self.vae = vae.to(device).eval().requires_grad_(False)
        self._embed, self.device = embed, device
        self.reduction = 2 ** (len(vae.config["block_out_channels"]) - 1)
        self.scaling_factor = float(vae.config["scaling_factor"])
        self.layout = torch.channels_last if options.channels_last else torch.contiguous_format
        self.unet.to(memory_format=self.layout)
        self.vae.to(memory_format=self.layout)
        if options.attention == "plain":
            from diffusers.models.attention_processor import AttnProcessor

            self.unet.set_attn_processor(AttnProcessor())
            self.vae.set_attn_processor(AttnProcessor())
        if options.vae_tiles:
            use_tiles(self.vae, unet.config["sample_size"] * self.reduction // 2, self.reduction)
        if options.compile:
            # One graph for each batch size (B, 2B, 4B): faster than one for any, and there are only these.
            self.unet.compile(dynamic=False, backend=COMPILER)
            self.vae.encoder.compile(dynamic=False, backend=COMPILER)

    def predict(self, x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        x = x.contiguous(memory_format=self.layout)
        return self.unet(x, t, encoder_hidden_states=cond, return_dict=False)[0]

    def moments(self, images: Tensor) -> Tensor:
        return self.vae.encode(images.contiguous(memory_format=self.layout)).latent_dist.parameters

    def decode(self, latents: Tensor) -> Tensor:
        latents = latents.contiguous(memory_format=self.layout)
        return self.vae.decode(latents, return_dict=False)[0]

    def embed(self, texts: Sequence[str]) -> Tensor:
        return self._embed(texts).to(self.device)


def load_folder(
    folder: Path, device: str, dtype: torch.dtype, options: NetworkOptions | None = None
) -> TorchNetworks:
    """The networks of a StableDiffusionPipeline folder, in `dtype` (the autoencoder: `options.vae_dtype`)."""
    import segmentdreamer.torchvision_guard  # noqa: F401  (before diffusers)

    from diffusers import AutoencoderKL, UNet2DConditionModel

    unet = load_part(UNet2DConditionModel, folder / "unet", dtype)
    vae = load_part(AutoencoderKL, folder / "vae", vae_type(options, dtype))
    return TorchNetworks(unet, vae, partial(embed_texts, folder), device, options)


def load_part(cls: Any, part: Path, dtype: torch.dtype) -> Any:
    """A network of diffusers or transformers from its folder; ValueError, in a line, if it cannot be read."""
    _, variant = find_weights(part)
    with loading(part):
        return cls.from_pretrained(part, local_files_only=True, torch_dtype=dtype, variant=variant)


def vae_type(options: NetworkOptions | None, dtype: torch.dtype) -> torch.dtype:
    """The autoencoder's type beside a UNet in `dtype`."""
    return getattr(torch, options.vae_dtype) if options and options.vae_dtype else dtype


def use_tiles(vae: Any, side: int, reduction: int) -> None:
    """Encode and decode what is larger than `side` pixels in overlapping tiles of that size."""
    vae.enable_tiling()
    vae.tile_sample_min_size, vae.tile_latent_min_size = side, side // reduction


def embed_texts(folder: Path, texts: Sequence[str]) -> Tensor:
    """Embeddings (T, L, D) float32 on the CPU; the text encoder is loaded and dropped: no step needs it."""
    tokenizer, encoder = load_text(folder)
    ids = tokenizer(
        list(texts), padding="max_length", truncation=True, max_length=tokenizer.model_max_length,
        return_tensors="pt",
    ).input_ids  # fmt: skip
    return encoder(ids)[0]


def load_text(folder: Path):
    """The tokenizer and the float32 text encoder of a pipeline folder."""
    import segmentdreamer.torchvision_guard  # noqa: F401  (before transformers)

    from transformers import CLIPTextModel, CLIPTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    with loading(folder / "tokenizer"):
        tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
    encoder = load_part(CLIPTextModel, folder / "text_encoder", torch.float32)
    return tokenizer, encoder.eval().requires_grad_(False)
