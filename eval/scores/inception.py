"""FID's Inception-v3 (2015-12-05, pool3) and the resize protocols that give a FID its name.

The network is torch-fidelity's, which follows the TensorFlow graph (average pooling that ignores padding, max
pooling in the last block). Only the resize differs between protocols:

fid_clean     PIL bicubic with antialias on each channel in float32, clipped to [0, 255], not rounded
              (Parmar et al. 2022)
fid_pytorch   torch bilinear, align_corners=False, no antialias

Of a picture that is not square both resize the short side and keep the center, as the other scorers do; the
programs that they are named after squash it. Then (x - 128) / 128 and float32 throughout: no TF32, no
autocast.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import segmentdreamer.torchvision_guard  # noqa: F401  (before torch_fidelity)

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from ..views.pictures import center, short_side

SIZE = 299
WIDTH = 2048  # columns of pool3
PROTOCOLS = ("fid_clean", "fid_pytorch")
BATCH = 60


class InceptionV3(FeatureExtractorInceptionV3):
    """The network up to pool3, with random weights until some are loaded; never in training mode."""

    def __init__(self) -> None:
        # The parent reads weights as it is built, from the internet unless it is given a file.
        nothing = io.BytesIO()
        torch.save({}, nothing)
        nothing.seek(0)
        super().__init__("inception-v3-compat", [str(WIDTH)], nothing)

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        """As nn.Module, but an empty state, the one of __init__, changes nothing."""
        return super().load_state_dict(state_dict, *args, **kwargs) if state_dict else None

    def train(self, mode: bool = True) -> InceptionV3:
        return super().train(False)

    def forward(self, images: Tensor) -> Tensor:
        """pool3 features (N, 2048) of images (N, 3, 299, 299) in [0, 255], float32 and already resized."""
        if images.shape[1:] != (3, SIZE, SIZE):
            raise ValueError(f"images are {tuple(images.shape)}, not (N, 3, {SIZE}, {SIZE})")
        x = (images - 128) / 128
        for name, layer in self.named_children():  # registered in the order of the graph
            x = layer(x) if name != "fc" else x
        return x.flatten(1)


def load_inception(path: Path, device: str = "cpu") -> InceptionV3:
    """The network with the weights of a .safetensors file, or of a .pth file that holds tensors alone.

    Raises FileNotFoundError without the file, ValueError if it is not a state of this network.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no Inception weights at {path}")
    network, packed = InceptionV3(), path.suffix == ".safetensors"
    try:
        state = load_file(path) if packed else torch.load(path, map_location="cpu", weights_only=True)
        network.load_state_dict(check_state(state, network))
    except Exception as error:  # the readers raise what they like
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ValueError(f"{path} is not a state of FID's Inception-v3: {reason.strip()}") from error
    return network.to(device)


def check_state(state: dict[str, Tensor], network: InceptionV3) -> dict[str, Tensor]:
    """The state, if it has every tensor of the network at its shape, and no other."""
    expected = network.state_dict()
    counters = {name for name in expected if name.endswith("num_batches_tracked")}  # unused in evaluation
    missing, unknown = set(expected) - set(state) - counters, set(state) - set(expected)
    wrong = {name for name in set(state) & set(expected) if state[name].shape != expected[name].shape}
    for what, names in (("missing", missing), ("unknown", unknown), ("of another shape", wrong)):
        if names:
            raise ValueError(f"{len(names)} tensors {what}, first {min(names)}")
    return state


def resize(images: np.ndarray, protocol: str, device: str | torch.device = "cpu") -> Tensor:
    """Images (N, H, W, 3) uint8 as (N, 3, 299, 299) float32 in [0, 255] on `device`, by a named protocol.

    PIL takes as many threads as torch has. Raises ValueError for an unknown protocol or other images.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"no resize protocol {protocol!r}; there are {', '.join(PROTOCOLS)}")
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
        raise ValueError(f"images are {images.shape} {images.dtype}, not (N, H, W, 3) uint8")
    height, width = short_side(images.shape[1], images.shape[2], SIZE)
    rows, columns = center(height, width, SIZE)
    if protocol == "fid_pytorch":
        pixels = torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float()
        whole = functional.interpolate(pixels, (height, width), mode="bilinear", align_corners=False)
        return whole[..., rows, columns]
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        channels = list(pool.map(resize_channel, (image[..., c] for image in images for c in range(3))))
    resized = np.stack(channels).reshape(-1, 3, height, width)[..., rows, columns]
    return torch.from_numpy(np.ascontiguousarray(resized)).to(device)


def resize_channel(channel: np.ndarray) -> np.ndarray:
    """(H, W) as float32, short side 299: bicubic, clipped, because bicubic overshoots, and not rounded."""
    height, width = short_side(channel.shape[0], channel.shape[1], SIZE)
    picture = Image.fromarray(channel.astype(np.float32))
    return np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC)).clip(0, 255)


@torch.inference_mode()
def embed(network: InceptionV3, images: np.ndarray, protocol: str, batch: int = BATCH) -> np.ndarray:
    """pool3 features (N, 2048) float32 of images (N, H, W, 3) uint8, resized by a named protocol."""
    device = next(network.parameters()).device
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    parts = [torch.zeros(0, WIDTH)]
    with torch.autocast(device.type, enabled=False):
        for start in range(0, len(images), batch):
            pixels = resize(images[start : start + batch], protocol, device)
            parts.append(network(pixels).cpu())
    return torch.cat(parts).numpy()
