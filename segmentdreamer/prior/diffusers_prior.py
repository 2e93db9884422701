"""The prior: a text-conditional diffusion model behind five names and a counter.

Losses see only `encode`, `decode`, `encode_prompt`, `eps` and `alphas_cumprod`. Latents and solver stay
in float32; what enters a network is cast to the network's type and comes back as float32.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from pkgutil import resolve_name

import torch
from torch import Tensor

from segmentdreamer.diffusion.solver import alpha, sigma, stack_times
from segmentdreamer.interfaces import Timestep
from segmentdreamer.prior.conversion import folder_of
from segmentdreamer.prior.folder import (
    check_folder,
    count_parameters,
    read_latent_shape,
    read_reduction,
    read_scheduler,
)
from segmentdreamer.prior.lora import Learner
from segmentdreamer.prior.options import NetworkOptions, PriorConfig
from segmentdreamer.prior.torch_networks import Networks, TorchNetworks, load_folder, vae_type
from segmentdreamer.randomness import place
from segmentdreamer.records import file_digest, folder_digest, run_key
from segmentdreamer.timing.stopwatch import Stopwatch

NoisePredictor = Callable[[Tensor, Tensor, Tensor], Tensor]
NetworkBuilder = Callable[[Path, str, torch.dtype, NetworkOptions], Networks]  # as load_folder

EXPORT_LIMIT = 200_000_000  # parameters of a UNet: an ONNX file ends at 2 GiB, and exporting doubles it


class UNetPrior:
    """The noise prediction alone: a callable network with its schedule, for tests and foreign models.

    prediction: "epsilon", or "v_prediction" (v = alpha eps - sigma z_0), of which epsilon is made here.
    """

    latent_shape: tuple[int, int, int] = (4, 64, 64)  # channels, height and width that it was made for
    reduction = 8  # pixels to a latent's side

    def __init__(
        self,
        network: NoisePredictor,
        alphas_cumprod: Tensor,
        dtype: torch.dtype = torch.float32,
        prediction: str = "epsilon",
    ):
        self.network, self.prediction = network, prediction
        self.alphas_cumprod = alphas_cumprod
        self.dtype = dtype
        self.nfe = 0
        self.differentiated = 0  # rows of these that a gradient passed
        self.encoded = self.decoded = 0  # pictures so far, for the count of the arithmetic
        self.watch = Stopwatch()

    def eps(self, x: Tensor, t: Timestep, cond: Tensor, graph: bool = False) -> Tensor:
        return self.ask(self.differentiable() if graph else self.network, x, t, cond, graph)

    def ask(
        self, network: NoisePredictor, x: Tensor, t: Timestep, cond: Tensor, graph: bool = False
    ) -> Tensor:
        """eps of a network that predicts what the prior's own one does, timed and counted alike.

        A t below 0, which one method asks for, is the network's business alone: its level is that of 0.
        """
        self.nfe += len(x)
        self.differentiated += len(x) * graph
        times = stack_times(t, len(x), x.device)
        cond = cond.expand(len(x), -1, -1)
        with self.watch.part("unet"), torch.set_grad_enabled(graph):
            predicted = network(x.to(self.dtype), times, cond.to(self.dtype)).to(x.dtype)
            if self.prediction == "epsilon":
                return predicted
            level = times.clamp(min=0)
            return alpha(self.alphas_cumprod, level) * predicted + sigma(self.alphas_cumprod, level) * x

    def differentiable(self) -> NoisePredictor:
        """The network in a form that gradients can pass."""
        return self.network


class DiffusersPrior(UNetPrior):
    """A StableDiffusionPipeline folder (the toybox's, SD 2.1-base, ...) as a prior.

    networks: "exported" (ONNX Runtime and TorchScript), "torch", None (exported for small float32 networks
    on a CPU, else torch), or networks themselves, in `dtype`, for the folder's schedule. latents: the
    solver's type; float16 rounds as the official code does. options: how PyTorch runs the networks.
    Raises FileNotFoundError and ValueError for a folder that cannot be read or run.
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
        self._learners: dict[int, Learner] = {}
        self.vae_dtype = vae_type(options, dtype)
        schedule, self.latent_shape = read_scheduler(self.folder), read_latent_shape(self.folder)
        if networks is None or isinstance(networks, str):
            networks = load_networks(self.folder, device, dtype, networks, threads, options)
        self.networks, self.reduction = networks, networks.reduction
        alphas_cumprod = schedule.alphas_cumprod.to(device, latents)
        super().__init__(networks.predict, alphas_cumprod, dtype, schedule.prediction)

    @cached_property
    def in_torch(self) -> TorchNetworks:
        """The networks in PyTorch, loaded when they are first needed: exported ones have no gradient."""
        if isinstance(self.networks, TorchNetworks):
            return self.networks
        return load_folder(self.folder, self.device, self.dtype)

    def differentiable(self) -> NoisePredictor:
        return self.in_torch.predict

    def learner(self, rank: int) -> Learner:
        """The trainable copy of this rank, one for all runs: what it learns is theirs."""
        if rank not in self._learners:
            self._learners[rank] = Learner(self.in_torch.unet, rank)
        return self._learners[rank]

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

    build: makes the networks (default: read from the folder). Raises ValueError for an unknown class.
    """
    if config.class_:
        return find_class(config.class_)(config, device, threads)
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
    folder = folder_of(config)
    networks = build(folder, device, dtype, options) if build else None
    latents = getattr(torch, config.latents)
    return DiffusersPrior(folder, device, dtype, networks, threads, latents, options)


def find_class(name: str) -> Callable[[PriorConfig, str, int], DiffusersPrior]:
    """What `prior.class` names; ValueError in one line if that cannot be imported or called so."""
    try:
        found = resolve_name(name)
        signature(found).bind(None, "cpu", 1)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise ValueError(f"prior.class {name!r} is not module:name of a prior: {error}") from error
    return found


def check_prior(config: PriorConfig) -> str:
    """The digest of a prior's folder or file, empty without either, checked before anything is loaded.

    Raises FileNotFoundError and ValueError for a class, folder or digest that is not as configured.
    """
    path = Path(config.path)
    if config.class_:
        find_class(config.class_)
    else:
        check_folder(folder_of(config))
    digest = file_digest(path) if path.is_file() else folder_digest(path) if config.path else ""
    if config.sha256 and digest != config.sha256:
        raise ValueError(f"weights at {path} have SHA-256 {digest}, not the configured {config.sha256}")
    return run_key(digest, file_digest(Path(config.lora)), config.lora_scale) if config.lora else digest


def check_size(config: PriorConfig, size: int, device: str) -> None:
    """ValueError unless the prior's networks take pictures of this many pixels a side."""
    if config.class_:
        return
    folder, dtype = folder_of(config), torch.float32 if device == "cpu" else getattr(torch, config.dtype)
    reduction = read_reduction(folder)
    own = read_latent_shape(folder)[1] * reduction
    if default_kind(folder, device, dtype) == "exported" and size != own:
        raise ValueError(
            f"render.size {size}: on a CPU the networks of {folder} take pictures of {own} px alone"
        )
    if size % reduction:
        raise ValueError(
            f"render.size {size} is no multiple of {reduction}, the step of {folder}'s autoencoder"
        )


def load_networks(
    folder: Path,
    device: str,
    dtype: torch.dtype,
    kind: str | None,
    threads: int,
    options: NetworkOptions | None = None,
) -> Networks:
    """The folder's networks of the asked kind; by default exported ones where they are the faster."""
    if (kind or default_kind(folder, device, dtype)) != "exported":
        return load_folder(folder, device, dtype, options)
    if (count := count_parameters(folder / "unet")) > EXPORT_LIMIT:
        raise ValueError(
            f"{folder}: a UNet of {count:,} parameters does not fit an ONNX file; run it in PyTorch"
        )
    from segmentdreamer.prior.onnx_networks import ExportedNetworks

    return ExportedNetworks(folder, threads)


def default_kind(folder: Path, device: str, dtype: torch.dtype) -> str:
    """`exported` for float32 on a CPU with ONNX Runtime, if the UNet fits an ONNX file; else `torch`."""
    fast = device == "cpu" and dtype == torch.float32 and find_spec("onnxruntime") is not None
    return "exported" if fast and count_parameters(folder / "unet") <= EXPORT_LIMIT else "torch"
