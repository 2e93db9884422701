"""Random weights of ImageReward's true size, by its package, to rehearse with.

    python -m tests.rehearsal.image_reward_random FOLDER --random 0

Runs in the environment of workflow/envs/image_reward.txt; FOLDER gets what it lacks of configuration and
vocabulary too.
"""

from __future__ import annotations

import argparse
import json
import string
import sys
from pathlib import Path
from typing import Any

import torch

from eval.scores.image_reward import CONFIG, ELSEWHERE, VOCABULARY, WEIGHTS, construct

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


def save(state: dict[str, torch.Tensor], folder: Path) -> None:
    from safetensors.torch import save_file

    partial = folder / f"{WEIGHTS}.part"
    save_file(state, partial)
    partial.replace(folder / WEIGHTS)


def write_stand_ins(folder: Path) -> None:
    """Configuration and vocabulary of the true size where they are absent; the words are single letters."""
    (folder / VOCABULARY).parent.mkdir(parents=True, exist_ok=True)
    if not (folder / CONFIG).exists():
        (folder / CONFIG).write_text(json.dumps(BERT, indent=2) + "\n")
    if not (folder / VOCABULARY).exists():
        letters = string.ascii_lowercase + string.digits + string.punctuation
        words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{x}" for x in letters)]
        words += [f"[unused{i}]" for i in range(BERT["vocab_size"] - 2 - len(words))]
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
