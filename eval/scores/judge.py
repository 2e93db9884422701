"""Judge: a classifier of the toybox world reads what each view shows, and from which side.

It plays the part of a person who is asked. What was asked for stands in the prompt table (class, color,
second); a prompt with words that the classifier has not is not judged. toybox/judge.py trains it.
"""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from .clip import SQUARE, fit

if TYPE_CHECKING:
    from .asset import Asset, Models, PromptTexts

SIZE = 64  # pixels
STRIDES = (2, 2, 1, 2, 1, 2)  # 64 px to 4 x 4
SIDES = ("front", "right side", "back", "left side")  # by sectors of 90 degrees about the azimuths 0, 90, ...


class Judge(nn.Module):
    """Convolutions, a mean over the picture, and one linear head per question."""

    def __init__(self, widths: tuple[int, ...], heads: dict[str, tuple[str, ...]]):
        super().__init__()
        layers: list[nn.Module] = []
        for (before, width), stride in zip(pairwise((3, *widths)), STRIDES, strict=False):
            layers.append(nn.Conv2d(before, width, 3, stride, 1, bias=False))
            layers.extend((nn.BatchNorm2d(width), nn.SiLU()))
        self.trunk = nn.Sequential(*layers)
        self.heads = nn.ModuleDict(
            {name: nn.Linear(widths[-1], len(labels)) for name, labels in heads.items()}
        )
        self.labels = {name: list(labels) for name, labels in heads.items()}

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Logits (B, labels) per head for images (B, 3, H, W) in [0, 1], resized to 64 px."""
        if images.shape[-1] != SIZE:
            images = F.interpolate(images, (SIZE, SIZE), mode="bilinear", antialias=True)
        features = self.trunk(2 * images - 1).mean((2, 3))  # (B, widths[-1])
        return {name: head(features) for name, head in self.heads.items()}


def load(folder: Path) -> Judge:
    """The judge of a folder (config.json and model.safetensors), in float32 and eval mode."""
    config = json.loads((folder / "config.json").read_text())
    model = Judge(tuple(config["widths"]), config["heads"])
    model.load_state_dict(load_file(folder / "model.safetensors"))
    return model.eval()


class Judged:
    """Whether the judge names what the prompt asks for, 1 or 0 a view, and the side that the camera sees."""

    def __init__(self, models: Models, prompts: PromptTexts, folder: Path):
        self.device, self.model = models.device, load(folder).to(models.device)
        how = f"toybox judge, {SIZE} px bicubic {SQUARE}, over white"
        self.protocol = {"judge_class": f"most likely label is the prompt table's; {how}"}

    @torch.inference_mode()
    def __call__(self, asset: Asset) -> dict[str, np.ndarray]:
        asked = asset.spec | {"second": asset.spec["second"] or "none"}
        if any(word not in self.model.labels[name] for name, word in asked.items()):
            return {}
        pixels = torch.from_numpy(fit(asset.images, SIZE)).to(self.device).permute(0, 3, 1, 2).float() / 255
        answers = {name: logits.argmax(1).cpu().numpy() for name, logits in self.model(pixels).items()}
        right = {
            f"judge_{name}": (answers[name] == self.model.labels[name].index(word)).astype(float)
            for name, word in asked.items()
        }
        if asset.whole and not asset.prompts.symmetric[asset.own]:
            sides = [self.model.labels["view"].index(side) for side in sides_of(len(pixels))]
            right["judge_side"] = (answers["view"] == sides).astype(float)
        return right


def sides_of(views: int) -> list[str]:
    """What each view of a ring from the front shows."""
    return [SIDES[(8 * view + views) // (2 * views) % 4] for view in range(views)]
