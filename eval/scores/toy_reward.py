"""ToyReward: a small preference model of the toybox world, mapping (picture, prompt) to a scalar.

It plays the part that ImageReward plays at the paper's scale; its numbers mean nothing outside of
the toybox. Scores are standardised: over clean and corrupted pictures, mean 0 and deviation 1.
"""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from ..views.pictures import center, short_side
from .clip import SQUARE

if TYPE_CHECKING:
    from .asset import Asset, Models, PromptTexts

PAD, UNKNOWN = "<pad>", "<unk>"


class Preference:
    """ToyReward of every view under the asset's own prompt."""

    def __init__(self, models: Models, prompts: PromptTexts, folder: Path):
        self.device, self.model = models.device, load(folder).to(models.device)
        how = f"{self.model.size} px bilinear {SQUARE}, over white, raw prompt"
        self.protocol = {"toy_reward": f"ToyReward, {how}"}

    def __call__(self, asset: Asset) -> dict[str, np.ndarray]:
        pixels = torch.from_numpy(asset.images).to(self.device).permute(0, 3, 1, 2).float() / 255
        return {"toy_reward": self.model.score(pixels, [asset.text] * len(pixels)).cpu().numpy()}

    def remark(self, text: str) -> str:
        tokenizer = self.model.tokenizer
        read, words = tokenizer.length, tokenizer.words(text)
        if len(words) > read:
            return f"toy_reward reads {read} words of the prompt, not all {len(words)}"
        unknown = dict.fromkeys(word for word in words if word not in tokenizer.index)
        return f"toy_reward never learned {', '.join(unknown)}" if unknown else ""


class Tokenizer:
    """Lower-case words to indices of a fixed vocabulary; words that it lacks become <unk>."""

    def __init__(self, vocabulary: list[str], length: int):
        if vocabulary[:2] != [PAD, UNKNOWN]:
            raise ValueError(f"a vocabulary starts with {PAD} and {UNKNOWN}")
        self.index = {word: i for i, word in enumerate(vocabulary)}
        self.length = length

    def __call__(self, prompts: list[str]) -> Tensor:
        """(B, length) int64, padded at the end with 0; longer prompts are cut."""
        rows = torch.zeros(len(prompts), self.length, dtype=torch.int64)
        for row, prompt in zip(rows, prompts, strict=True):
            words = self.words(prompt)[: self.length]
            row[: len(words)] = torch.tensor([self.index.get(w, 1) for w in words])
        return rows

    def words(self, prompt: str) -> list[str]:
        return re.findall(r"[a-z]+", prompt.lower())


class Modulated(nn.Module):
    """A residual convolution whose channels the prompt scales and shifts."""

    def __init__(self, width: int, text_width: int):
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.film = nn.Linear(text_width, 2 * width)

    def forward(self, x: Tensor, text: Tensor) -> Tensor:
        scale, shift = self.film(text)[:, :, None, None].chunk(2, dim=1)
        return x + F.silu(self.norm(self.conv(x)) * (1 + scale) + shift)


class ToyReward(nn.Module):
    """Convolutions on the picture, a GRU on the words, and two layers where the words steer."""

    def __init__(
        self,
        vocabulary: list[str],
        length: int = 16,
        widths: tuple[int, ...] = (16, 32, 48, 96),
        strides: tuple[int, ...] = (2, 2, 1, 2),
        text_width: int = 64,
        size: int = 64,
        mean: float = 0.0,
        std: float = 1.0,
    ):
        super().__init__()
        self.tokenizer = Tokenizer(vocabulary, length)
        self.size, self.mean, self.std = size, mean, std
        layers: list[nn.Module] = []
        for (before, width), stride in zip(pairwise((3, *widths)), strides, strict=True):
            layers.append(nn.Conv2d(before, width, 3, stride, 1, bias=False))
            layers.extend((nn.BatchNorm2d(width), nn.SiLU()))
        self.trunk = nn.Sequential(*layers)
        self.words = nn.Embedding(len(vocabulary), 32, padding_idx=0)
        self.reader = nn.GRU(32, text_width, batch_first=True)
        self.steered = nn.ModuleList(Modulated(widths[-1], text_width) for _ in range(2))
        self.head = nn.Sequential(nn.Linear(2 * widths[-1], text_width), nn.SiLU(), nn.Linear(text_width, 1))

    def read(self, prompts: list[str]) -> Tensor:
        """The prompts' features (B, text_width): the reader's state after each one's last word."""
        tokens = self.tokenizer(prompts).to(self.words.weight.device)
        states, _ = self.reader(self.words(tokens))  # (B, length, text_width)
        last = (tokens != 0).sum(1).clamp(min=1) - 1
        return states[torch.arange(len(tokens), device=tokens.device), last]

    def forward(self, images: Tensor, prompts: list[str]) -> Tensor:
        """Raw scores (B,) of images (B, 3, H, W) in [0, 1]: short side resized to `size`, the center kept."""
        height, width = short_side(images.shape[-2], images.shape[-1], self.size)
        if images.shape[-2:] != (height, width):
            images = F.interpolate(images, (height, width), mode="bilinear", antialias=True)
        rows, columns = center(height, width, self.size)
        images = images[..., rows, columns]
        text = self.read(prompts)
        x = self.trunk(2 * images - 1)  # (B, C, size / 8, size / 8)
        for layer in self.steered:
            x = layer(x, text)
        pooled = torch.cat([x.mean((2, 3)), x.amax((2, 3))], dim=1)
        return self.head(pooled)[:, 0]

    @torch.no_grad()
    def score(self, images: Tensor, prompts: list[str]) -> Tensor:
        """Standardised scores (B,), higher is better; images (B, 3, H, W) in [0, 1]."""
        return (self(images, prompts) - self.mean) / self.std


def load(folder: Path | str) -> ToyReward:
    """The model of a folder (config.json and model.safetensors), in float32 and eval mode."""
    config = json.loads((Path(folder) / "config.json").read_text())
    model = ToyReward(**config)
    model.load_state_dict(load_file(Path(folder) / "model.safetensors"))
    return model.eval()
