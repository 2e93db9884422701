"""What a LoRA file says of itself: how much of each layer is added, and what cannot be added is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from segmentdreamer.prior.conversion import read_lora

RANK, WIDTH = 4, 64
Q, K = (f"unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_{letter}" for letter in "qk")


def write(path: Path, told: dict[str, Any] | None = None, **more: Tensor) -> Path:
    """Two layers in diffusers' format of today, its words about them, and more tensors of the first."""
    state = {f"{name}.lora_A.weight": torch.ones(RANK, WIDTH) for name in (Q, K)}
    state |= {f"{name}.lora_B.weight": torch.ones(WIDTH, RANK) for name in (Q, K)}
    state |= {f"{Q}.{name}": value for name, value in more.items()}
    words = {f"unet.{key}": value for key, value in (told or {}).items()}
    save_file(state, path, {"lora_adapter_metadata": json.dumps(words)} if told else None)
    return path


@pytest.mark.parametrize(
    ("told", "shares"),
    [
        (None, (1.0, 1.0)),
        ({"lora_alpha": 8}, (2.0, 2.0)),
        ({"lora_alpha": 8, "alpha_pattern": {"attn2.to_k": 2}}, (2.0, 0.5)),
        ({"lora_alpha": 8, "alpha_pattern": {K.removeprefix("unet."): 2}}, (2.0, 0.5)),
        ({"lora_alpha": 8, "alpha_pattern": {"to": 2}}, (2.0, 2.0)),
        ({"lora_alpha": 8, "use_rslora": True}, (4.0, 4.0)),
    ],
)
def test_its_words_say_how_much_of_a_layer_is_added(
    told: dict[str, Any] | None, shares: tuple[float, float], tmp_path: Path
) -> None:
    """As PEFT reads them: alpha / r, a module's own alpha, alpha / sqrt(r)."""
    found = read_lora(write(tmp_path / "lora.safetensors", told))
    assert (found[Q][2], found[K][2]) == shares


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("dora_scale", torch.ones(WIDTH), "it is a DoRA"),
        ("lora_magnitude_vector", torch.ones(WIDTH), "it is a DoRA"),
        ("lora_B.bias", torch.ones(WIDTH), "only layers lora_A and lora_B are added"),
        ("lora_A.weight", torch.full((RANK, WIDTH), torch.nan), "not finite"),
    ],
)
def test_what_would_be_left_out_or_spoil_the_weights_is_refused(
    name: str, value: Tensor, words: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=words):
        read_lora(write(tmp_path / "lora.safetensors", **{name: value}))
