"""ImageReward-v1.0's network, from the real package, with the weights of a local folder.

Runs in the environment of workflow/envs/image_reward.txt. FOLDER holds model.safetensors, med_config.json
and bert-base-uncased/vocab.txt, which `python -m segmentdreamer.weights` brings; nothing is fetched here.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import torch

WEIGHTS, CONFIG, VOCABULARY = "model.safetensors", "med_config.json", "bert-base-uncased/vocab.txt"

ELSEWHERE = "run this in the environment of workflow/envs/image_reward.txt"

# Counted positions, not learned ones: harmless if a checkpoint has them not. Nothing else may differ.
UNLEARNED = {"blip.text_encoder.embeddings.position_ids"}


def require(folder: Path, *names: str) -> None:
    """FileNotFoundError that tells, in one line, which files `folder` lacks and how to get them."""
    if absent := [name for name in names if not (folder / name).is_file()]:
        models = {
            "image-reward/bert-base-uncased" if name == VOCABULARY else "image-reward" for name in absent
        }
        commands = " and ".join(
            f"`python -m segmentdreamer.weights {name} --out {folder}{name.removeprefix('image-reward')}`"
            for name in sorted(models)
        )
        raise FileNotFoundError(
            f"ImageReward needs {', '.join(absent)} in {folder}/: put them there, or {commands}"
        )


def construct(folder: Path, device: str = "cpu") -> Any:
    """The package's ImageReward with weights as the package initializes them, in evaluation mode.

    Raises FileNotFoundError without configuration or vocabulary, ValueError if these two do not fit.
    """
    require(folder, CONFIG, VOCABULARY)
    import segmentdreamer.torchvision_guard  # noqa: F401  (before the package)

    from ImageReward.ImageReward import ImageReward

    # The package asks for the tokenizer "bert-base-uncased": from within `folder`, that is a local path.
    config = (folder / CONFIG).resolve()
    with contextlib.chdir(folder), torch.device(device):
        model = ImageReward(med_config=str(config), device=device)
    known, expected = len(model.blip.tokenizer), model.blip.text_encoder.config.vocab_size
    if known != expected:
        raise ValueError(f"{folder / VOCABULARY} makes {known} tokens, {CONFIG} expects {expected}")
    return model.to(device).eval()


def load(folder: Path, device: str = "cpu") -> Any:
    """The network with the weights of `folder`, float32.

    Raises FileNotFoundError for absent files and ValueError if the weights are not exactly the network's.
    """
    require(folder, WEIGHTS, CONFIG, VOCABULARY)
    from safetensors.torch import load_file

    model = construct(folder, device)
    install(model, load_file(folder / WEIGHTS))
    return model.float()


def install(model: Any, state: dict[str, torch.Tensor]) -> None:
    """Copy weights into the network; ValueError names what is missing, unexpected or of another shape."""
    try:
        missing, unexpected = model.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise ValueError(" ".join(str(error).split())) from error
    check_names(missing, unexpected)


def check_names(missing: Iterable[str], unexpected: Iterable[str]) -> None:
    """ValueError unless a checkpoint has every weight of the network and no other."""
    wrong = {"lacks": set(missing) - UNLEARNED, "should not have": set(unexpected) - UNLEARNED}
    if any(wrong.values()):
        told = "; ".join(f"{verb} {', '.join(sorted(names))}" for verb, names in wrong.items() if names)
        raise ValueError(f"not ImageReward's weights: the file {told}")
