#!/usr/bin/env python3
"""Write every network of the paper scale with random weights, in the formats that the programs read.

    python tests/rehearsal/random_weights.py --out FOLDER
    python tests/rehearsal/random_weights.py --out FOLDER --size tiny --only sd21-base clip-vit-l14

FOLDER is laid out as `weights/` is. Sizes: `true` (6 GB, two minutes), or `tiny` for quick tests. Equal seeds
give equal files. What cannot be built here is named, with the reason, and skipped.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import architectures
import torch
from torch import Tensor, nn

from segmentdreamer.prior.random_networks import SD21_BASE
from segmentdreamer.weights.catalog import read_weights

ROOT = Path(__file__).resolve().parents[2]
EMBEDDING_STD = 0.02
LISTED = read_weights("sd21-base")


class Unavailable(RuntimeError):
    """A network that cannot be built on this machine; the message says why."""


def random_values(name: str, like: Tensor, seed: int, gain: float = 1.0) -> Tensor:
    """Seeded values for the tensor `name` of a network's state, float32, or zeros if it holds integers.

    Matrices and convolutions keep the variance of what enters (std gain / sqrt(fan in)), norms scale by one,
    so that activations stay of order one at any depth and in float16. like: shape and type; may be meta.
    """
    if not like.is_floating_point():
        return torch.zeros(like.shape, dtype=like.dtype)
    if name.endswith("logit_scale"):
        return torch.full(like.shape, math.log(1 / 0.07))
    if like.ndim == 1 and name.endswith((".weight", "running_var")):
        return torch.ones(like.shape)
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
    fan_in = like.numel() // like.shape[0] if like.ndim > 1 else 0
    std = EMBEDDING_STD if like.ndim < 2 or "embedding" in name else gain / math.sqrt(fan_in)
    return torch.empty(like.shape).normal_(0.0, std, generator=generator)


def random_state(
    module: nn.Module, seed: int, dtype: torch.dtype = torch.float16, gain: float = 1.0
) -> dict[str, Tensor]:
    """Random values for a network's whole state, tensor after tensor, floating ones as `dtype`."""
    state = {}
    for name, like in module.state_dict().items():
        values = random_values(name, like, seed, gain)
        state[name] = values.to(dtype) if values.is_floating_point() else values
    return state


def write_state(state: dict[str, Tensor], path: Path) -> None:
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(state, path, metadata={"format": "pt"})


def write_json(data: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n")


def write_stable_diffusion(out: Path, size: str, seed: int) -> None:
    """A StableDiffusionPipeline folder; its model_index.json comes last, as in a finished download."""
    dimensions = architectures.SIZES[size]
    for part, build in (("unet", architectures.unet), ("vae", architectures.vae)):
        module = build(dimensions)
        write_state(random_state(module, seed), out / part / "diffusion_pytorch_model.safetensors")
        config = {name: value for name, value in module.config.items() if name != "_use_default_values"}
        write_json({"_class_name": type(module).__name__, **config}, out / part / "config.json")
    encoder = architectures.text_encoder(dimensions)
    write_state(random_state(encoder, seed), out / "text_encoder" / "model.safetensors")
    write_json(
        encoder.config.to_dict() | {"architectures": ["CLIPTextModel"]}, out / "text_encoder" / "config.json"
    )
    write_tokenizer(out / "tokenizer")
    name = "scheduler/scheduler_config.json"
    write_json(SD21_BASE[name] | {"_class_name": "PNDMScheduler"}, out / name)
    (out / "model_index.json").write_text(LISTED.files["model_index.json"].text)


def write_tokenizer(out: Path) -> None:
    """CLIP's tokenizer, its true one: open_clip ships the vocabulary."""
    import open_clip

    bpe = open_clip.tokenizer.SimpleTokenizer()
    start, end = "<|startoftext|>", "<|endoftext|>"
    renamed = {"<start_of_text>": start, "<end_of_text>": end}
    write_json({renamed.get(token, token): i for token, i in bpe.encoder.items()}, out / "vocab.json")
    merges = [" ".join(pair) for pair in bpe.bpe_ranks]
    (out / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n")
    special = {"bos_token": start, "eos_token": end, "unk_token": end, "pad_token": "!"}
    write_json(special, out / "special_tokens_map.json")
    length = architectures.CONTEXT
    write_json(
        special | {"tokenizer_class": "CLIPTokenizer", "model_max_length": length, "do_lower_case": True},
        out / "tokenizer_config.json",
    )


def write_clip(out: Path, size: str, seed: int) -> None:
    """The scorer's CLIP as open_clip reads it; the small one's definition stands beside it."""
    state = random_state(architectures.clip(size), seed)
    write_state(state, out / "open_clip_model.safetensors")
    if size == "tiny":
        write_json(architectures.TINY_CLIP, out / f"{architectures.CLIP_NAMES[size]}.json")


def write_inception(out: Path, size: str, seed: int) -> None:
    """FID's Inception-v3, always at its true size."""
    # He's gain: what ReLU takes away is put back, through all of the many layers.
    state = random_state(architectures.inception(), seed, torch.float32, gain=math.sqrt(2))
    write_state(state, out / "inception.safetensors")


def write_image_reward(out: Path, size: str, seed: int) -> None:
    """ImageReward's BLIP, built by the program that reads it, in that program's environment."""
    if size != "true":
        raise Unavailable("its package knows one size only")
    python = Path(os.environ.get("SEGMENTDREAMER_ENVS", ROOT / ".envs")) / "image_reward" / "bin" / "python"
    if not python.exists():
        raise Unavailable(f"there is no environment with the package ({python}); a rule builds it")
    out.mkdir(parents=True, exist_ok=True)
    program = "tests.rehearsal.image_reward_random"
    command = [str(python), "-m", program, str(out.resolve()), "--random", str(seed)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise Unavailable((ran.stderr.strip().splitlines() or ["it failed without a word"])[-1])


def write_point_e(out: Path, size: str, seed: int) -> None:
    """In Point-E's place a cloud of 4,096 points, as it would make one.

    Random weights cannot stand in for it: its package reads OpenAI's own CLIP file, checked by digest.
    """
    from segmentdreamer.start.clouds import Cloud, write_cloud

    generator = torch.Generator().manual_seed(seed)
    points = 0.25 * torch.randn(4096, 3, generator=generator).clamp(-2, 2)
    write_cloud(Cloud(points, torch.rand(4096, 3, generator=generator)), out / "cloud.ply")


NETWORKS: dict[str, Callable[[Path, str, int], None]] = {
    "sd21-base": write_stable_diffusion,
    "clip-vit-l14": write_clip,
    "inception": write_inception,
    "image-reward": write_image_reward,
    "point-e": write_point_e,
}


def write_networks(out: Path, names: list[str], size: str, seed: int) -> dict[str, str]:
    """Write the named networks under `out`, unless they are there; reasons for those that cannot be built.

    NAME.made, beside a finished network, tells its size and seed.
    """
    reasons = {}
    for name in names:
        began, marker = time.perf_counter(), out / f"{name}.made"
        if marker.exists() and marker.read_text() == f"{size} {seed}":
            continue
        try:
            NETWORKS[name](out / name, size, seed)
        except Unavailable as error:
            reasons[name] = str(error)
            print(f"{name}: left out: {error}", file=sys.stderr, flush=True)
            continue
        marker.write_text(f"{size} {seed}")
        amount = sum(path.stat().st_size for path in (out / name).rglob("*") if path.is_file())
        taken = time.perf_counter() - began
        print(f"{name}: {amount / 1e9:.2f} GB in {taken:.0f} s", file=sys.stderr, flush=True)
    return reasons


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Write networks of the paper scale with random weights.")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to, laid out as weights/")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=NETWORKS,
        default=list(NETWORKS),
        metavar="NAME",
        help=f"of {', '.join(NETWORKS)} (default: all)",
    )
    parser.add_argument("--size", choices=architectures.SIZES, default="true", help="(default: true)")
    parser.add_argument("--seed", type=int, default=0, help="(default: 0)")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    try:
        write_networks(args.out, args.only, args.size, args.seed)
    except OSError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
