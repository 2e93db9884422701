"""The networks of a StableDiffusionPipeline folder, in PyTorch through diffusers and transformers.

`segmentdreamer.exported` offers the same five names to CPUs, faster and without these two libraries.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor


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
    """Networks in PyTorch on any device; each is loaded when it is first needed."""

    def __init__(self, folder: Path, device: str, dtype: torch.dtype):
        import segmentdreamer.torchvision_guard  # noqa: F401  (before diffusers)

        from diffusers import AutoencoderKL, UNet2DConditionModel

        self.folder, self.device = folder, device
        unet = UNet2DConditionModel.from_pretrained(folder / "unet", local_files_only=True, torch_dtype=dtype)
        vae = AutoencoderKL.from_pretrained(folder / "vae", local_files_only=True, torch_dtype=dtype)
        self.unet = unet.to(device).eval().requires_grad_(False)
        self.vae = vae.to(device).eval().requires_grad_(False)
        self.reduction = 2 ** (len(vae.config["block_out_channels"]) - 1)
        self.scaling_factor = float(vae.config["scaling_factor"])

    def predict(self, x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        return self.unet(x, t, encoder_hidden_states=cond, return_dict=False)[0]

    def moments(self, images: Tensor) -> Tensor:
        return self.vae.encode(images).latent_dist.parameters

    def decode(self, latents: Tensor) -> Tensor:
        return self.vae.decode(latents, return_dict=False)[0]

    def embed(self, texts: Sequence[str]) -> Tensor:
        """Loads the text encoder, embeds, and drops it again: no step needs it."""
        tokenizer, encoder = load_text(self.folder)
        ids = tokenizer(
            list(texts), padding="max_length", truncation=True, max_length=tokenizer.model_max_length,
            return_tensors="pt",
        ).input_ids  # fmt: skip
        return encoder(ids)[0].to(self.device)


def load_text(folder: Path):
    """The tokenizer and the float32 text encoder of a pipeline folder."""
    import segmentdreamer.torchvision_guard  # noqa: F401  (before transformers)

    from transformers import CLIPTextModel, CLIPTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
    encoder = CLIPTextModel.from_pretrained(
        folder / "text_encoder", local_files_only=True, torch_dtype=torch.float32
    )
    return tokenizer, encoder.eval().requires_grad_(False)
