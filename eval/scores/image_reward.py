"""ImageReward-v1.0 of the views of assets, by the real package, in batches and without gradients.

    python -m eval.scores.image_reward --views a.zip b.zip --prompt-id p01 p02 --prompts TABLE --out A B

Runs in the environment of workflow/envs/image_reward.txt. Views over white; the package's own preprocessing
(short side to 224 px by bicubic, center crop, CLIP's mean and standard deviation), the raw prompt cut at 35
tokens, and (r - 0.16717) / 1.03334, in float32 with TF32 off. Source: the package's ImageReward.py,
inference_rank. The folder of weights holds model.safetensors, med_config.json and vocab.txt of
bert-base-uncased/, which `python -m segmentdreamer.weights` brings; nothing is fetched here.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import pandas as pd
import torch
from PIL import Image
from safetensors.torch import load_file

from segmentdreamer.records import content_digest, write_json, write_table

from ..prompt_table import read_prompts
from ..protocol import Protocol
from ..views.archive import composite, read_failure, read_views

WEIGHTS, CONFIG, VOCABULARY = "model.safetensors", "med_config.json", "bert-base-uncased/vocab.txt"

ELSEWHERE = "run this in the environment of workflow/envs/image_reward.txt"

# Counted positions, not learned ones: harmless if a checkpoint has them not. Nothing else may differ.
UNLEARNED = {"blip.text_encoder.embeddings.position_ids"}
BATCH = 30
TOKENS = 35
PROTOCOL = {
    "image_reward": "ImageReward-v1.0 (image-reward 1.5), standardized; 224 px bicubic (short side, center "
    f"crop), over white, raw prompt, {TOKENS} tokens, float32"
}


def require(folder: Path, *names: str) -> None:
    """FileNotFoundError that tells, in one line, which files `folder` lacks and how to get them."""
    if absent := [name for name in names if not (folder / name).is_file()]:
        parts = sorted({"/bert-base-uncased" if name == VOCABULARY else "" for name in absent})
        fetch = "`python -m segmentdreamer.weights image-reward{0} --out {1}{0}`"
        commands = " and ".join(fetch.format(part, folder) for part in parts)
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
    model = construct(folder, device)
    install(model, load_file(folder / WEIGHTS))
    return model.float()


def install(model: torch.nn.Module, state: dict[str, torch.Tensor]) -> None:
    """Copy weights into the network; ValueError names what is missing, unexpected or of another shape."""
    try:
        missing, unexpected = model.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise ValueError(" ".join(str(error).split())) from error
    wrong = {"lacks": set(missing) - UNLEARNED, "should not have": set(unexpected) - UNLEARNED}
    if told := "; ".join(f"{verb} {', '.join(sorted(names))}" for verb, names in wrong.items() if names):
        raise ValueError(f"not ImageReward's weights: the file {told}")


@torch.inference_mode()
def score_images(model: Any, images: np.ndarray, prompt: str, batch: int = BATCH) -> np.ndarray:
    """Standardized rewards (V,) float32 of uint8 RGB images (V, H, W, 3) under one prompt.

    model: the package's ImageReward, in evaluation mode. batch: images at a time; no score depends on it.
    """
    text = model.blip.tokenizer(
        prompt, padding="max_length", truncation=True, max_length=TOKENS, return_tensors="pt"
    ).to(model.device)
    rewards = []
    for start in range(0, len(images), batch):
        pixels = torch.stack([model.preprocess(Image.fromarray(x)) for x in images[start : start + batch]])
        ids, mask = (x.expand(len(pixels), -1) for x in (text.input_ids, text.attention_mask))  # (B, 35)
        rewards.append(model.score_gard(ids, mask, pixels.to(model.device))[:, 0].cpu())
    return torch.cat(rewards).numpy()


def score_archive(model: Any, views: Path, prompt: str, batch: int = BATCH) -> pd.DataFrame:
    """Rows (view, metric, value) of one archive of views; none if the asset failed."""
    rewards = np.zeros(0)
    if read_failure(views) is None:
        rewards = score_images(model, composite(read_views(views)), prompt, batch)
    return pd.DataFrame({"view": np.arange(len(rewards)), "metric": "image_reward", "value": rewards})


def write_rewards(rows: pd.DataFrame, record: dict, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "image_reward.json", record)
    write_table(out / "image_reward.csv", rows)


def score_all(args: argparse.Namespace) -> None:
    """Score every archive of the command line and say so, a line each."""
    table = read_prompts(args.prompts).set_index("id")["prompt"]
    if unknown := sorted(set(args.prompt_id) - set(table.index)):
        raise ValueError(f"{args.prompts} has no prompt {', '.join(unknown)}")
    model = load(args.weights, args.device)
    protocol = Protocol(PROTOCOL, {"image_reward": content_digest(args.weights)})
    known = args.identity or [""] * len(args.views)
    for i, (views, prompt, out, identity) in enumerate(
        zip(args.views, table[args.prompt_id], args.out, known, strict=True), 1
    ):
        began = time.perf_counter()
        rows = score_archive(model, views, prompt, args.batch)
        write_rewards(rows, protocol.record(views, read_failure(views)) | {"identity": identity}, out)
        told = f"{rows['value'].mean():.4f} over {len(rows)} views" if len(rows) else "failed, no views"
        print(f"{i}/{len(args.views)} {views}: {told}, {time.perf_counter() - began:.1f} s", flush=True)


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="ImageReward-v1.0 of the views of assets; the model is loaded once for all of them.",
        epilog="Needs the environment of workflow/envs/image_reward.txt.",
    )
    parser.add_argument("--views", type=Path, nargs="+", required=True, help="views.zip of each asset")
    parser.add_argument("--prompt-id", nargs="+", required=True, help="the prompt of each asset")
    parser.add_argument("--out", type=Path, nargs="+", required=True,
                        help="a folder for each asset's image_reward.csv and .json")  # fmt: skip
    parser.add_argument("--prompts", type=Path, required=True, help="the prompt table (TSV)")
    parser.add_argument("--weights", type=Path, default=Path("weights/image-reward"),
                        help="folder of model.safetensors, med_config.json and bert-base-uncased/vocab.txt "
                        "(default: weights/image-reward)")  # fmt: skip
    parser.add_argument("--identity", nargs="+", help="of each asset's rewards (eval.identity)")
    parser.add_argument("--batch", type=int, default=BATCH, help=f"images at a time (default: {BATCH})")
    parser.add_argument("--device", help="cpu or cuda (default: cuda where there is one)")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args(argv)
    if not len(args.views) == len(args.prompt_id) == len(args.out):
        parser.error("--views, --prompt-id and --out need as many values as there are assets")
    if args.batch < 1:
        parser.error("--batch must be at least 1")
    args.device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    return args


def main(argv: list[str] | None = None) -> None:
    args = parse_arguments(argv)
    torch.set_num_threads(args.threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        score_all(args)
    except ModuleNotFoundError as error:
        sys.exit(f"error: {error}; {ELSEWHERE}")
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
