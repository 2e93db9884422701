"""The judge: a classifier that reads what a toybox picture shows, and from which side.

`python -m toybox.judge` trains it; `judge(images)` returns the logits of the shipped weights. It
has seen every combination, held out or not, since it measures how others generalise.
"""

import argparse
import math
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from eval.scores.judge import Judge, load
from segmentdreamer.records import replacing, write_json
from toybox import data, scenes

FOLDER = Path(__file__).parent / "models" / "judge"
TRAINING_DATA = Path(__file__).parent / "data" / "train.npz"
HEADS: dict[str, tuple[str, ...]] = {
    "class": scenes.CLASSES,
    "color": tuple(scenes.COLORS),
    "second": ("none", *scenes.COLORS),
    "view": data.VIEWS,
}
WIDTHS = (24, 48, 48, 96, 96, 128)
BATCH = 64


@torch.no_grad()
def judge(images: Tensor) -> dict[str, Tensor]:
    """The shipped judge's logits for images (B, 3, H, W) in [0, 1]; labels stand in `HEADS`."""
    return shipped()(images.float().cpu())


@cache
def shipped() -> Judge:
    return load(FOLDER)


def labels(specs: list[scenes.Spec], views: list[str]) -> dict[str, Tensor]:
    """The right index (B,) of every head."""
    rows = zip(*((spec.cls, spec.color, spec.second or "none") for spec in specs), strict=True)
    answers = zip(HEADS.items(), [*rows, views], strict=True)
    return {name: torch.tensor([known.index(answer) for answer in row]) for (name, known), row in answers}


def blur(image: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur of each image (B, C, H, W) by its own sigma (B,) in pixels, edges repeated."""
    reach = max(1, int(np.ceil(2.5 * float(sigma.max()))))
    offsets = torch.arange(-reach, reach + 1, dtype=image.dtype, device=image.device)
    kernel = torch.exp(-0.5 * (offsets / sigma[:, None].clamp(min=0.05)) ** 2)  # (B, 2 reach + 1)
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(image.shape[1], 0)
    b, c, h, w = image.shape
    planes = F.pad(image, (reach,) * 4, mode="replicate").reshape(1, b * c, h + 2 * reach, -1)
    planes = F.conv2d(planes, kernel[:, None, :, None], groups=b * c)
    return F.conv2d(planes, kernel[:, None, None, :], groups=b * c).view(b, c, h, w)


def uniform(rng: np.random.Generator, low: float, high: float, *shape: int) -> Tensor:
    return torch.from_numpy(rng.uniform(low, high, shape).astype(np.float32))


def normal(rng: np.random.Generator, *shape: int) -> Tensor:
    return torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))


def distort(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Images (B, 3, H, W) in [0, 1] with shift, zoom, blur, blotches, noise, cast, all labels true."""
    n, _, h, w = image.shape
    affine = torch.zeros(n, 2, 3)
    affine[:, 0, 0] = affine[:, 1, 1] = uniform(rng, 0.88, 1.1, n)
    affine[:, :, 2] = uniform(rng, -0.08, 0.08, n, 2)
    grid = F.affine_grid(affine, [n, 3, h, w], align_corners=False)
    moved = F.grid_sample(image, grid, padding_mode="border", align_corners=False)
    soft = n // 2  # this half is blurred and blotched, the other stays crisp
    moved[:soft] = blur(moved[:soft], uniform(rng, 0.2, 1.3, soft))
    moved[:soft] += 0.03 * F.interpolate(normal(rng, soft, 3, h // 4, w // 4), (h, w), mode="bilinear")
    moved = moved * uniform(rng, 0.94, 1.06, n, 3, 1, 1) + uniform(rng, -0.03, 0.03, n, 1, 1, 1)
    return (moved + uniform(rng, 0, 0.04, n, 1, 1, 1) * normal(rng, n, 3, h, w)).clamp(0, 1)


def fit(
    model: nn.Module,
    loss: Callable[[np.random.Generator], Tensor],
    minutes: float,
    seed: int,
    checkpoint: Path,
    rate: float = 2e-3,
    decay: float = 0.01,
) -> None:
    """Minimise `loss(rng)` for a time budget, in place; a killed run goes on from its checkpoint.

    The learning rate warms up and falls to zero over the budget. Every step draws from its own
    generator, so a resumed run sees the batches that an undisturbed one would have seen.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.98), weight_decay=decay)
    step, spent, average = 0, 0.0, 0.0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        step, spent, average = state["step"], state["spent"], state["average"]
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # faster on a CPU
    model.train()
    while spent < 60 * minutes:
        start = time.monotonic()
        for group in optimizer.param_groups:
            fall = 0.5 * (1 + math.cos(math.pi * spent / (60 * minutes)))
            group["lr"] = rate * min(1, (step + 1) / 100) * fall
        value = loss(np.random.default_rng([seed, step]))
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step, spent = step + 1, spent + time.monotonic() - start
        average = value.item() if step == 1 else 0.98 * average + 0.02 * value.item()
        if step % 200 == 0:
            left = minutes - spent / 60
            print(f"step {step} loss {average:.4f}, {left:.1f} minutes left", flush=True)
        if step % 500 == 0:
            state = {"step": step, "spent": spent, "average": average}
            state |= {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
            with replacing(checkpoint) as partial:
                torch.save(state, partial)
    checkpoint.unlink(missing_ok=True)
    model.eval()


def save(model: nn.Module, folder: Path) -> None:
    """Write a model's weights to model.safetensors, the floating-point ones in float16."""
    weights = {
        name: (value.half() if value.is_floating_point() else value).cpu().contiguous()
        for name, value in model.state_dict().items()
    }
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def trainer_arguments(about: str, data_path: Path, out: Path, minutes: float) -> argparse.Namespace:
    """The command line that all trainers of this world share."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--data", type=Path, default=data_path)
    parser.add_argument("--out", type=Path, default=out)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=minutes, help="time budget")
    return parser.parse_args()


def main() -> None:
    args = trainer_arguments("Train the judge.", TRAINING_DATA, FOLDER, 8)
    torch.manual_seed(args.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    known = data.load(args.data)
    extra = data.draw_pictures(
        len(known.specs) // 7, np.random.default_rng(args.seed), scenes.held_out_specs()
    )
    rgba = np.concatenate([known.rgba, extra.rgba])
    right = labels(known.specs + extra.specs, known.views + extra.views)
    model = Judge(WIDTHS, HEADS).to(device)

    def loss(rng: np.random.Generator) -> Tensor:
        picked = rng.integers(len(rgba), size=BATCH)
        logits = model(distort(data.lay_backgrounds(rgba[picked], rng), rng).to(device))
        errors = [F.cross_entropy(logits[n], right[n][picked].to(device)) for n in HEADS]
        return torch.stack(errors).sum()

    fit(model, loss, args.minutes, args.seed, args.out / "checkpoint.pt")
    write_json(args.out / "config.json", {"widths": WIDTHS, "heads": HEADS})
    save(model, args.out)


if __name__ == "__main__":
    main()
