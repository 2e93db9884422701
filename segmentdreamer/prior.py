"""The prior: a text-conditional diffusion model behind five names and a counter.

Losses see only `encode`, `decode`, `encode_prompt`, `eps` and `alphas_cumprod`. Latents and solver stay
in float32; what enters a network is cast to the network's type and comes back as float32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from segmentdreamer.solver import Timestep, stack_times

NoisePredictor = Callable[[Tensor, Tensor, Tensor], Tensor]


class Prior(Protocol):
    """What a loss may use."""

    alphas_cumprod: Tensor  # (1000,) float32
    nfe: int  # network evaluations so far, counted per row of a batch

    def eps(self, x: Tensor, t: Timestep, cond: Tensor) -> Tensor:
        """Noise prediction for latents x (B, 4, h, w) at timestep t under embeddings (B, L, D)."""
        ...

    def encode(self, images: Tensor) -> Tensor:
        """Latents of images (B, 3, H, W) in [0, 1]; differentiable."""
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """Images in [0, 1] of latents; no gradient."""
        ...

    def encode_prompt(self, texts: Sequence[str]) -> Tensor:
        """Embeddings (len(texts), L, D)."""
        ...


class UNetPrior:
    """The noise prediction alone: a callable network with its schedule, for tests and foreign models."""

    def __init__(self, network: NoisePredictor, alphas_cumprod: Tensor, dtype: torch.dtype = torch.float32):
        self.network = network
        self.alphas_cumprod = alphas_cumprod
        self.dtype = dtype
        self.nfe = 0

    @torch.no_grad()
    def eps(self, x: Tensor, t: Timestep, cond: Tensor) -> Tensor:
        self.nfe += len(x)
        times = stack_times(t, len(x)).to(x.device)
        cond = cond.expand(len(x), -1, -1)
        return self.network(x.to(self.dtype), times, cond.to(self.dtype)).to(x.dtype)


class DiffusersPrior(UNetPrior):
    """A StableDiffusionPipeline folder (the toybox's, SD 2.1-base, ...) as a prior.

    On the CPU the UNet runs in ONNX Runtime (`segmentdreamer.onnx_network`), since no loss
    differentiates through it; on CUDA in PyTorch with `dtype`. Raises ValueError for a model that does
    not predict epsilon.
    """

    def __init__(
        self,
        folder: Path | str,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
        onnx: bool | None = None,
        threads: int = 1,
    ):
        self.folder = Path(folder)
        self.device = device
        super().__init__(self._load_unet(onnx, threads, dtype), self._read_schedule().to(device), dtype)
        self._vae: Any = None

    def _read_schedule(self) -> Tensor:
        import json

        config = json.loads((self.folder / "scheduler" / "scheduler_config.json").read_text())
        if config.get("prediction_type", "epsilon") != "epsilon":
            raise ValueError(
                f"{self.folder}: the model predicts {config['prediction_type']!r}; "
                "the losses here need an epsilon model (for SD 2.1, the -base one)"
            )
        return schedule_from(config)

    def _load_unet(self, onnx: bool | None, threads: int, dtype: torch.dtype) -> NoisePredictor:
        if onnx if onnx is not None else self.device == "cpu":
            from segmentdreamer.onnx_network import load_onnx_unet

            return load_onnx_unet(self.folder / "unet", threads)
        return load_torch_unet(self.folder / "unet", self.device, dtype)

    @property
    def vae(self) -> Any:
        if self._vae is None:
            import segmentdreamer.torchvision_guard  # noqa: F401  (before diffusers)
            from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

            vae = AutoencoderKL.from_pretrained(self.folder / "vae", local_files_only=True)
            self._vae = vae.to(self.device, self.dtype).eval().requires_grad_(False)
        return self._vae

    @property
    def reduction(self) -> int:
        """How many pixels a latent's side spans (8 for Stable Diffusion, 4 for the toybox)."""
        return 2 ** (len(self.vae.config.block_out_channels) - 1)

    def encode(self, images: Tensor, noise: Tensor | None = None) -> Tensor:
        """Sampled posterior (official: not its mode), scaled; the draw uses `noise` where given."""
        posterior = self.vae.encode((2 * images - 1).to(self.dtype)).latent_dist
        mean, std = posterior.mean.float(), posterior.std.float()
        noise = torch.zeros_like(mean) if noise is None else noise.to(mean)
        return (mean + std * noise) * self.vae.config.scaling_factor

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        decoded = self.vae.decode((latents / self.vae.config.scaling_factor).to(self.dtype)).sample
        return (decoded.float() / 2 + 0.5).clamp(0, 1)

    @torch.no_grad()
    def encode_prompt(self, texts: Sequence[str]) -> Tensor:
        """Loads the text encoder, embeds, and drops it again: no step needs it."""
        import segmentdreamer.torchvision_guard  # noqa: F401  (before transformers)
        from transformers import CLIPTextModel, CLIPTokenizer

        tokenizer = CLIPTokenizer.from_pretrained(self.folder / "tokenizer", local_files_only=True)
        encoder = CLIPTextModel.from_pretrained(self.folder / "text_encoder", local_files_only=True)
        ids = tokenizer(
            list(texts), padding="max_length", truncation=True, max_length=tokenizer.model_max_length,
            return_tensors="pt",
        ).input_ids  # fmt: skip
        return encoder.float().eval()(ids)[0].to(self.device)


def load_torch_unet(folder: Path, device: str, dtype: torch.dtype) -> NoisePredictor:
    """The UNet of a diffusers folder in PyTorch, without gradients of its own."""
    import segmentdreamer.torchvision_guard  # noqa: F401  (before diffusers)
    from diffusers import UNet2DConditionModel

    unet = UNet2DConditionModel.from_pretrained(folder, local_files_only=True, torch_dtype=dtype)
    unet = unet.to(device).eval().requires_grad_(False)

    def predict(x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        return unet(x, t, encoder_hidden_states=cond, return_dict=False)[0]

    return predict


def schedule_from(config: dict[str, Any]) -> Tensor:
    """alphas_cumprod of a diffusers scheduler config; only SD's scaled-linear betas are known."""
    from segmentdreamer.solver import scaled_linear_alphas_cumprod

    if config.get("beta_schedule") != "scaled_linear":
        raise ValueError(f"beta_schedule {config.get('beta_schedule')!r} is not 'scaled_linear'")
    return scaled_linear_alphas_cumprod(
        config["beta_start"], config["beta_end"], config.get("num_train_timesteps", 1000)
    )
