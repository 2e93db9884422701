"""A trainable copy of a UNet: frozen weights are shared, low-rank updates and a camera's embedding its own.

What it has learned lies outside, as tensors by name that every call is given, so that it belongs to a run and
its checkpoint and not to the networks.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

CAMERA = 16  # numbers of a camera: its flattened 4 x 4 matrix

Weights = dict[str, Tensor]


class LowRank(nn.Module):
    """A linear layer and beside it up(down(x)) in float32, which is zero at first (diffusers' own start)."""

    def __init__(self, layer: nn.Linear, rank: int):
        super().__init__()
        self.layer = layer
        self.down = nn.Linear(layer.in_features, rank, bias=False)
        self.up = nn.Linear(rank, layer.out_features, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) + self.up(self.down(x.float())).to(x.dtype)


class Learner:
    """A UNet of diffusers' with low-rank updates in its attention, of text and of itself.

    A camera (B, 16) is embedded by two layers and added to the embedding of time.
    """

    def __init__(self, unet: nn.Module, rank: int):
        self.unet = deepcopy(unet, {id(weight): weight for weight in unet.parameters()})
        layers = {name: layer for name, layer in self.unet.named_modules() if isinstance(layer, nn.Linear)}
        self.places = [name for name in layers if ".to_" in name]  # of an attention: q, k, v and out
        for name in self.places:
            parent, _, own = name.rpartition(".")
            setattr(self.unet.get_submodule(parent), own, LowRank(layers[name], rank))
        width = layers["time_embedding.linear_2"].out_features
        self.unet.class_embedding = nn.Sequential(
            nn.Linear(CAMERA, width), nn.SiLU(), nn.Linear(width, width)
        )
        self.device = layers["time_embedding.linear_2"].weight.device

    def begin(self, seed: int) -> Weights:
        """Weights of which the updates are zero, float32, on the network's device."""
        g, found = torch.Generator().manual_seed(seed), Weights()
        for name, weight in self.unet.named_parameters():
            own = name.rpartition(".")[0].rpartition(".")
            if name.startswith("class_embedding."):  # torch's own start of a linear layer
                bound = (CAMERA if ".0." in name else len(weight)) ** -0.5
                found[name] = bound * (2 * torch.rand(weight.shape, generator=g) - 1)
            elif own[2] in ("down", "up") and own[0] in self.places:
                drawn = torch.randn(weight.shape, generator=g) / min(weight.shape)
                found[name] = drawn if own[2] == "down" else 0 * drawn
        return {name: value.to(self.device) for name, value in found.items()}

    def __call__(self, weights: Weights, x: Tensor, t: Tensor, cond: Tensor, camera: Tensor) -> Tensor:
        """What the network predicts with these weights; differentiable in them where gradients are on."""
        options: dict[str, Any] = {
            "encoder_hidden_states": cond,
            "class_labels": camera,
            "return_dict": False,
        }
        return functional_call(self.unet, weights, (x, t), options)[0]
