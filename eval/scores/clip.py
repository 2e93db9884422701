"""CLIP through open_clip: embeddings of images and texts, float32.

Preprocessing is the model's own: bicubic resize of the short side to its size, center crop, its mean and
standard deviation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..views.pictures import center, short_side

BATCH = 60
SQUARE = "(short side, center crop)"  # what every scorer sees of a picture that is not square


@dataclass(frozen=True)
class Clip:
    """A CLIP in open_clip's format and its tokenizer."""

    name: str
    model: Any
    tokenizer: Any
    size: int
    mean: Tensor  # (3, 1, 1)
    std: Tensor  # (3, 1, 1)

    @property
    def how(self) -> str:
        """The end of every protocol that rests on it."""
        return f"open_clip {self.name}, {self.size} px bicubic {SQUARE}, over white, float32"


def load_clip(name: str, weights: str, device: str = "cpu") -> Clip:
    """Load an open_clip model; `weights` is a file beside `NAME.json`, or a tag known to open_clip.

    FileNotFoundError or ValueError, in one line, where there is no such file, model or tag.
    """
    import segmentdreamer.torchvision_guard  # noqa: F401  (before open_clip)

    import open_clip

    path = Path(weights)
    if path.suffix:
        if not path.is_file():
            raise FileNotFoundError(f"no CLIP weights at {path}")
        open_clip.add_model_config(path.parent)
    elif weights not in open_clip.list_pretrained_tags_by_model(name):
        raise ValueError(
            f"open_clip knows no weights {weights!r} of {name}: a tag, or a file beside {name}.json"
        )
    if name not in open_clip.list_models():
        raise ValueError(f"open_clip knows no model {name}, and there is no {name}.json beside {weights}")
    torch.backends.cudnn.allow_tf32 = False  # scores are float32's, on every device
    model = open_clip.create_model(name, pretrained=weights, device=device).eval()
    setting = open_clip.get_model_preprocess_cfg(model)
    mean, std = (torch.tensor(setting[key])[:, None, None] for key in ("mean", "std"))
    size = setting["size"][0] if isinstance(setting["size"], (tuple, list)) else setting["size"]
    return Clip(name, model, open_clip.get_tokenizer(name), size, mean, std)


@torch.inference_mode()
def embed_images(clip: Clip, images: np.ndarray, batch: int = BATCH) -> np.ndarray:
    """Image embeddings (V, D) float32, not normalized, of uint8 RGB images (V, H, W, 3)."""
    device = next(clip.model.parameters()).device
    resized = fit(images, clip.size)
    parts = []
    for start in range(0, len(resized), batch):
        pixels = torch.from_numpy(resized[start : start + batch]).permute(0, 3, 1, 2).float() / 255
        parts.append(clip.model.encode_image(((pixels - clip.mean) / clip.std).to(device)).float().cpu())
    return torch.cat(parts).numpy()


def fit(images: np.ndarray, size: int) -> np.ndarray:
    """Images (V, H, W, 3) uint8 as (V, size, size, 3): short side resized by PIL bicubic, the center kept."""
    height, width = short_side(images.shape[1], images.shape[2], size)
    if images.shape[1:3] != (height, width):
        pictures = (Image.fromarray(image) for image in images)
        images = np.stack([np.asarray(p.resize((width, height), Image.Resampling.BICUBIC)) for p in pictures])
    rows, columns = center(height, width, size)
    return images[:, rows, columns]


@torch.inference_mode()
def embed_texts(clip: Clip, texts: Sequence[str]) -> np.ndarray:
    """Unit text embeddings (T, D) float32."""
    device = next(clip.model.parameters()).device
    tokens = clip.tokenizer(list(texts)).to(device)
    return clip.model.encode_text(tokens, normalize=True).float().cpu().numpy()


def fills(clip: Clip, text: str) -> bool:
    """Whether the text takes all of the model's context, so that nothing after it would be read."""
    plain, longer = clip.tokenizer([text, f"{text} a"])
    return bool(torch.equal(plain, longer))
