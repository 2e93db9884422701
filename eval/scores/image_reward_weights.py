"""ImageReward-v1.0's network, from the real package: its weights from a local folder, or random ones.

    python -m eval.scores.image_reward_weights FOLDER --random 0  a network of the true size, to rehearse with

Runs in the environment of workflow/envs/image_reward.txt. FOLDER holds model.safetensors, med_config.json
and bert-base-uncased/vocab.txt, which `python -m segmentdreamer.weights` brings; nothing is fetched here.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import string
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import torch

from segmentdreamer.records import replacing, write_json

WEIGHTS, CONFIG, VOCABULARY = "model.safetensors", "med_config.json", "bert-base-uncased/vocab.txt"

ELSEWHERE = "run this in the environment of workflow/envs/image_reward.txt"

# Counted positions, not learned ones: harmless if a checkpoint has them not. Nothing else may differ.
UNLEARNED = {"blip.text_encoder.embeddings.position_ids"}

# BLIP's text encoder: BERT base with cross-attention, and two tokens more.
BERT = {
    "architectures": ["BertModel"],
    "model_type": "bert",
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_act": "gelu",
    "attention_probs_dropout_prob": 0.1,
    "hidden_dropout_prob": 0.1,
    "initializer_range": 0.02,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "type_vocab_size": 2,
    "vocab_size": 30524,
    "encoder_width": 768,
    "add_cross_attention": True,
}


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


def build(folder: Path, seed: int) -> Any:
    """A network of the true size (446,665,953 parameters) with random weights that tell images apart.

    The package draws the head's weights so small that every image scores -mean/std = -0.1618; here they keep
    the scale of what passes through them.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = construct(folder)
        for layer in model.mlp.modules():
            if isinstance(layer, torch.nn.Linear):
                torch.nn.init.normal_(layer.weight, std=layer.in_features**-0.5)
    return model


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


def save(state: dict[str, torch.Tensor], folder: Path) -> None:
    from safetensors.torch import save_file

    with replacing(folder / WEIGHTS) as partial:
        save_file(state, partial)


def write_stand_ins(folder: Path) -> None:
    """Configuration and vocabulary of the true size where they are absent; the words are single letters."""
    (folder / VOCABULARY).parent.mkdir(parents=True, exist_ok=True)
    if not (folder / CONFIG).exists():
        write_json(folder / CONFIG, BERT)
    if not (folder / VOCABULARY).exists():
        letters = string.ascii_lowercase + string.digits + string.punctuation
        words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{x}" for x in letters)]
        words += [f"[unused{i}]" for i in range(BERT["vocab_size"] - 2 - len(words))]  # type: ignore[operator]
        (folder / VOCABULARY).write_text("\n".join(words) + "\n")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Write random weights of ImageReward's true size.")
    parser.add_argument("folder", type=Path, help="gets model.safetensors, and what else it lacks")
    parser.add_argument("--random", type=int, metavar="SEED", required=True, help="seed of the weights")
    args = parser.parse_args(argv)
    try:
        write_stand_ins(args.folder)
        save(build(args.folder, args.random).state_dict(), args.folder)
    except ModuleNotFoundError as error:
        sys.exit(f"error: {error}; {ELSEWHERE}")
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
