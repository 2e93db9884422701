"""The prior: a text-conditional diffusion model behind five names and a counter.

Losses see only `encode`, `decode`, `encode_prompt`, `eps` and `alphas_cumprod`. Latents and solver stay
in float32; what enters a network is cast to the network's type and comes back as float32.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from segmentdreamer.diffusion.solver import scaled_linear_alphas_cumprod, stack_times
from segmentdreamer.interfaces import Timestep
from segmentdreamer.placement import place
from segmentdreamer.prior.options import NetworkOptions, PriorConfig
from segmentdreamer.prior.torch_networks import Networks, TorchNetworks, load_folder, vae_type
from segmentdreamer.timing.stopwatch import Stopwatch

NoisePredictor = Callable[[Tensor, Tensor, Tensor], Tensor]
NetworkBuilder = Callable[[Path, str, torch.dtype, NetworkOptions], Networks]  # as load_folder

EXPORT_LIMIT = 200_000_000  # parameters of a UNet: an ONNX file ends at 2 GiB, and exporting doubles it


class UNetPrior:
    """The noise prediction alone: a callable network with its schedule, for tests and foreign models."""

    def __init__(self, network: NoisePredictor, alphas_cumprod: Tensor, dtype: torch.dtype = torch.float32):
        self.network = network
        self.alphas_cumprod = alphas_cumprod
        self.dtype = dtype
        self.nfe = 0
        self.differentiated = 0  # rows of these that a gradient passed
        self.encoded = self.decoded = 0  # pictures so far, for the count of the arithmetic
        self.watch = Stopwatch()

    def eps(self, x: Tensor, t: Timestep, cond: Tensor, graph: bool = False) -> Tensor:
        self.nfe += len(x)
        self.differentiated += len(x) * graph
        times = stack_times(t, len(x), x.device)
        cond = cond.expand(len(x), -1, -1)
        network = self.differentiable() if graph else self.network
        with self.watch.part("unet"), torch.set_grad_enabled(graph):
            return network(x.to(self.dtype), times, cond.to(self.dtype)).to(x.dtype)

    def differentiable(self) -> NoisePredictor:
        """The network in a form that gradients can pass."""
        return self.network


class DiffusersPrior(UNetPrior):
    """A StableDiffusionPipeline folder (the toybox's, SD 2.1-base, ...) as a prior.

    networks: "exported" (ONNX Runtime and TorchScript), "torch", None (exported for small float32 networks
    on a CPU, else torch), or networks themselves, in `dtype`, for the folder's schedule. latents: the
    solver's type; float16 rounds as the official code does. options: how PyTorch runs the networks.
    Raises ValueError for a model that does not predict epsilon, or is too large to export.
    """

    def __init__(
        self,
        folder: Path | str,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
        networks: str | Networks | None = None,
        threads: int = 1,
        latents: torch.dtype = torch.float32,
        options: NetworkOptions | None = None,
    ):
        self.folder, self.device = Path(folder), device
        self._differentiable: NoisePredictor | None = None
        self.vae_dtype = vae_type(options, dtype)
        alphas_cumprod = read_schedule(self.folder).to(device, latents)
        if networks is None or isinstance(networks, str):
            networks = load_networks(self.folder, device, dtype, networks, threads, options)
        self.networks = networks
        super().__init__(self.networks.predict, alphas_cumprod, dtype)

    @property
    def reduction(self) -> int:
        """How many pixels a latent's side spans."""
        return self.networks.reduction

    def differentiable(self) -> NoisePredictor:
        """The UNet in PyTorch, loaded when it is first needed: exported networks have no gradient."""
        if isinstance(self.networks, TorchNetworks):
            return self.network
        if self._differentiable is None:
            self._differentiable = load_folder(self.folder, self.device, self.dtype).predict
        return self._differentiable

    def encode(self, images: Tensor, noise: Tensor | None = None) -> Tensor:
        """Posterior mean plus `noise` times its deviation (official: a sample), scaled."""
        self.encoded += len(images)
        with self.watch.part("vae"):
            moments = self.networks.moments((2 * images - 1).to(self.vae_dtype))
        mean, log_variance = moments.float().chunk(2, 1)
        if noise is not None:
            mean = mean + (0.5 * log_variance.clamp(-30, 20)).exp() * place(noise, mean)
        return mean * self.networks.scaling_factor

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        self.decoded += len(latents)
        with self.watch.part("vae"):
            decoded = self.networks.decode((latents / self.networks.scaling_factor).to(self.vae_dtype))
        return (decoded.float() / 2 + 0.5).clamp(0, 1)

    @torch.no_grad()
    def encode_prompt(self, texts: Sequence[str]) -> Tensor:
        return self.networks.embed(texts)


def open_prior(
    config: PriorConfig, device: str, threads: int = 1, build: NetworkBuilder | None = None
) -> DiffusersPrior:
    """The configured prior on a device; on a CPU its networks run in float32, with a message if need be.

    build: makes the networks (default: they are read from the folder). Sets PyTorch's TF32 switches on CUDA.
    """
    dtype, options = getattr(torch, config.dtype), config
    if device == "cpu":
        halves = sorted({config.dtype, config.vae_dtype or config.dtype} - {"float32"})
        if halves:
            # Without units for it, a convolution of SD 2.1's takes 60 to 200 times as long in half precision.
            print(f"on a CPU the networks run in float32, not in {' and '.join(halves)}", file=sys.stderr)
        dtype, options = torch.float32, replace(config, vae_dtype=None)
    else:
        torch.backends.cuda.matmul.allow_tf32 = config.tf32
        torch.backends.cudnn.allow_tf32 = config.tf32
    networks = build(Path(config.path), device, dtype, options) if build else None
    latents = getattr(torch, config.latents)
    return DiffusersPrior(config.path, device, dtype, networks, threads, latents, options)


def load_networks(
    folder: Path,
    device: str,
    dtype: torch.dtype,
    kind: str | None,
    threads: int,
    options: NetworkOptions | None = None,
) -> Networks:
    """The folder's networks of the asked kind; by default exported ones where they are the faster."""
    if (kind or default_kind(folder, device, dtype)) == "exported":
        if (count := count_parameters(folder / "unet")) > EXPORT_LIMIT:
            raise ValueError(
                f"{folder}: a UNet of {count:,} parameters does not fit an ONNX file; run it in PyTorch"
            )
        from segmentdreamer.prior.onnx_networks import ExportedNetworks

        return ExportedNetworks(folder, threads)
    return load_folder(folder, device, dtype, options)


def default_kind(folder: Path, device: str, dtype: torch.dtype) -> str:
    """ "exported" for float32 on a CPU with ONNX Runtime, if the UNet fits an ONNX file; else "torch"."""
    fast = device == "cpu" and dtype == torch.float32 and find_spec("onnxruntime") is not None
    return "exported" if fast and count_parameters(folder / "unet") <= EXPORT_LIMIT else "torch"


def count_parameters(folder: Path) -> int:
    """How many numbers the safetensors files of a network's folder hold, read from their headers."""
    total = 0
    for path in folder.glob("*.safetensors"):
        with path.open("rb") as stream:
            header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
        total += sum(prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")
    return total


def read_schedule(folder: Path) -> Tensor:
    """alphas_cumprod of a pipeline folder; ValueError unless the model predicts epsilon."""
    config = json.loads((folder / "scheduler" / "scheduler_config.json").read_text())
    if config.get("prediction_type", "epsilon") != "epsilon":
        raise ValueError(
            f"{folder}: the model predicts {config['prediction_type']!r}; "
            "the losses here need an epsilon model (for SD 2.1, the -base one)"
        )
    return schedule_from(config)


def schedule_from(config: dict[str, Any]) -> Tensor:
    """alphas_cumprod of a diffusers scheduler config; only SD's scaled-linear betas are known."""
    if config.get("beta_schedule") != "scaled_linear":
        raise ValueError(f"beta_schedule {config.get('beta_schedule')!r} is not 'scaled_linear'")
    return scaled_linear_alphas_cumprod(
        config["beta_start"], config["beta_end"], config.get("num_train_timesteps", 1000)
    )
