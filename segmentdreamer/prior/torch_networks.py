"""The networks of a StableDiffusionPipeline folder, in PyTorch through diffusers and transformers.

`onnx_networks` offers the same five names to CPUs, faster and without these two libraries.
"""

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from segmentdreamer.prior.arrangement import arrange
from segmentdreamer.prior.folder import find_weights, loading, read_side
from segmentdreamer.prior.graphs import CudaRecorder, Recorder, Replayed, ReplayedGradient
from segmentdreamer.prior.norms import norm_by_channels
from segmentdreamer.prior.options import NetworkOptions
from segmentdreamer.records import cache_folder

COMPILER = "inductor"  # torch.compile's backend
DECODED = 4  # latents that are decoded at a time under graphs: more take their memory and are no faster

Embed = Callable[[Sequence[str]], Tensor]


class Networks(Protocol):
    """What a prior needs of its networks; tensors enter and leave in the networks' own type."""

    reduction: int  # pixels to a latent's side: 8 for Stable Diffusion, 4 for the toybox
    scaling_factor: float

    def predict(self, x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        """Noise prediction (B, 4, h, w); t (B,), cond (B, L, D)."""

    def moments(self, images: Tensor) -> Tensor:
        """Mean and log-variance of the latent posterior (B, 8, h, w) of images in [-1, 1]."""

    def decode(self, latents: Tensor) -> Tensor:
        """Images in [-1, 1] of unscaled latents."""

    def embed(self, texts: Sequence[str]) -> Tensor:
        """Text embeddings (T, L, D) float32."""


class TorchNetworks:
    """A UNet and an autoencoder of diffusers' in PyTorch on any device, frozen.

    embed: what turns texts into embeddings (T, L, D) float32, wherever it computes. recorder: makes what
    records the networks' calls (default: CUDA's where they run under its graphs, else none).
    """

    def __init__(
        self,
        unet: Any,
        vae: Any,
        embed: Embed,
        device: str,
        options: NetworkOptions | None = None,
        recorder: Callable[[], Recorder] | None = None,
    ):
        options = options or NetworkOptions()
        chosen = arrange(options, device)
        self.unet = unet.to(device).eval().requires_grad_(False)
        self.vae = vae.to(device).eval().requires_grad_(False)
        self._embed, self.device = embed, device
        self.reduction = 2 ** (len(vae.config["block_out_channels"]) - 1)
        self.scaling_factor = float(vae.config["scaling_factor"])
        self.layout, self.vae_layout = chosen.unet_layout, chosen.vae_layout
        self.unet.to(memory_format=self.layout)
        self.vae.to(memory_format=self.vae_layout)
        parts = {"unet": self.unet, "encoder": self.vae.encoder, "decoder": self.vae.decoder}
        for name in chosen.plain:
            unfuse_attention(parts[name])
        if self.vae_layout == torch.channels_last:
            norm_by_channels(self.vae)
        if options.vae_tiles:
            use_tiles(self.vae, read_side(unet.config) * self.reduction // 2, self.reduction)
        for part in parts.values() if chosen.compiled else ():
            os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_folder() / "inductor"))
            part.compile(dynamic=False, backend=COMPILER)  # one program a batch size: faster than one for any
        self._predict: Callable[..., Tensor] = self._run_unet
        self._moments: Callable[[Tensor], Tensor] = self._run_encoder
        self._decode: Callable[[Tensor], Tensor] = self._run_decoder
        if recorder or chosen.graphs:
            record = recorder or CudaRecorder
            shared = record()  # what is forgotten once it is copied may lie in one memory
            self._predict = Replayed(self._run_unet, shared)
            self._decode = Replayed(self._run_decoder, shared, rows=DECODED)
            self._moments = ReplayedGradient(self._run_encoder, record())

    def predict(self, x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        """Where gradients are wanted, as by one variant of SCTD, the network itself runs."""
        predict = self._run_unet if torch.is_grad_enabled() else self._predict
        return predict(x, t, cond)

    def moments(self, images: Tensor) -> Tensor:
        return self._moments(images)

    def decode(self, latents: Tensor) -> Tensor:
        return self._decode(latents)

    def embed(self, texts: Sequence[str]) -> Tensor:
        return self._embed(texts).to(self.device)

    def _run_unet(self, x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        x = x.contiguous(memory_format=self.layout)
        return self.unet(x, t, encoder_hidden_states=cond, return_dict=False)[0]

    def _run_encoder(self, images: Tensor) -> Tensor:
        return self.vae.encode(images.contiguous(memory_format=self.vae_layout)).latent_dist.parameters

    def _run_decoder(self, latents: Tensor) -> Tensor:
        return self.vae.decode(latents.contiguous(memory_format=self.vae_layout), return_dict=False)[0]

    def forget(self) -> None:
        """Drop all recordings and give their memory back: they are made again when they are needed."""
        for part in (self._predict, self._moments, self._decode):
            if isinstance(part, Replayed | ReplayedGradient):
                part.forget()


def unfuse_attention(network: torch.nn.Module) -> None:
    """Attention as two products and a softmax, all stored."""
    from diffusers.models.attention_processor import Attention, AttnProcessor

    for module in network.modules():
        if isinstance(module, Attention):
            module.set_processor(AttnProcessor())


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
        list(texts),
        padding="max_length",
        truncation=True,
        max_length=tokenizer.model_max_length,
        return_tensors="pt",
    ).input_ids
    return encoder(ids)[0]


def load_text(folder: Path) -> tuple[Any, Any]:
    """The tokenizer and the float32 text encoder of a pipeline folder."""
    import segmentdreamer.torchvision_guard  # noqa: F401  (before transformers)

    from transformers import CLIPTextModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    tokenizer = load_text_tokenizer(folder / "tokenizer")
    encoder = load_part(CLIPTextModel, folder / "text_encoder", torch.float32)
    return tokenizer, encoder.eval().requires_grad_(False)


def load_text_tokenizer(part: Path) -> Any:
    """CLIP's tokenizer from a folder; ValueError, in a line, if it cannot be read."""
    import segmentdreamer.torchvision_guard  # noqa: F401  (before transformers)

    from transformers import CLIPTokenizer

    with loading(part):
        return CLIPTokenizer.from_pretrained(part, local_files_only=True)
