"""What a configuration says of the prior: which model, and how its networks run."""

from dataclasses import dataclass
from typing import Literal

DType = Literal["float32", "float16", "bfloat16"]


@dataclass(frozen=True)
class NetworkOptions:
    """How PyTorch runs the networks. Exported networks (`onnx_networks`) know none of this.

    The defaults are exact and need no compiler; null: as `torch_networks.arrange` chooses. All but
    `vae_dtype`, `vae_tiles` and `tf32` change results by rounding alone.
    """

    vae_dtype: DType | None = None  # of the autoencoder; null: as the UNet's
    # "sdpa": torch's fused attention, which stores no (tokens, tokens) matrix; "plain": a softmax of its own.
    attention: Literal["sdpa", "plain"] | None = None
    channels_last: bool | None = None  # the UNet's convolutions in the layout that tensor cores read
    graphs: bool = True  # CUDA graphs of UNet and encoder, recorded once for each batch size (see `graphs`)
    compile: bool = False  # torch.compile of UNet and autoencoder: minutes at first, needs a C compiler
    vae_tiles: bool = False  # pictures of the full size in tiles, for little memory; leaves traces of seams
    tf32: bool = False  # float32 products of networks on CUDA with 10 bits of mantissa


@dataclass(frozen=True, kw_only=True)
class PriorConfig(NetworkOptions):
    """The diffusion model, and how its networks run."""

    path: str = ""  # a StableDiffusionPipeline folder, or what `class` makes of it
    # module:name of what makes the prior from (configuration, device, threads), say a `UNetPrior` with
    # encode, decode and encode_prompt; empty: the networks of a folder.
    class_: str = ""
    sha256: str = ""  # of the folder (records.folder_digest) or file at `path`; empty: not checked
    dtype: DType = "float32"  # of the networks; on a CPU they run in float32 whatever stands here
    latents: Literal["float32", "float16"] = "float32"  # latents and solver; official rounding: float16
