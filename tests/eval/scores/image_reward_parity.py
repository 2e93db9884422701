"""Runs inside ImageReward's own environment: compares our scores with the package's, prints JSON.

python image_reward_parity.py small FOLDER    a small network: what matters and what must not
python image_reward_parity.py true FOLDER     the published size: the package's own loader
python image_reward_parity.py golden FOLDER IMAGES
"""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

import segmentdreamer.torchvision_guard  # noqa: F401

import numpy as np
import torch
from PIL import Image
from torchvision import transforms

from eval.scores import image_reward as weights
from eval.scores.image_reward import score_images
from tests.rehearsal import image_reward_random as random_weights

PROMPT = "a red bear with a blue hat"
HATS = "a red bear with a hat, " + "a blue hat, " * 12  # 52 words, so more than 35 tokens
GOLDEN = "a painting of an ocean with clouds and birds, day time, low depth field effect"


def pictures(height: int, width: int, count: int = 5, seed: int = 0) -> np.ndarray:
    """Random disks on random grounds with noise: (count, height, width, 3) uint8."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    images = np.empty((count, height, width, 3))
    for image in images:
        image[:] = rng.uniform(0, 255, 3)
        center, radius = rng.uniform(0.3, 0.7, 2) * (height, width), rng.uniform(0.1, 0.3) * height
        image[np.hypot(y - center[0], x - center[1]) < radius] = rng.uniform(0, 255, 3)
        image += rng.normal(0, 20, image.shape)
    return images.clip(0, 255).astype(np.uint8)


def small_network(folder: Path) -> Any:
    """The package's classes with two narrow layers a tower, behind the package's own constructor."""
    from ImageReward.models.BLIP import blip_pretrain
    from ImageReward.models.BLIP.vit import VisionTransformer

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ",", *HATS.replace(",", "").split(), "blue", "cat"]
    words = list(dict.fromkeys(words))
    (folder / weights.VOCABULARY).parent.mkdir(parents=True, exist_ok=True)
    (folder / weights.VOCABULARY).write_text("\n".join(words) + "\n")
    size = {"num_hidden_layers": 2, "intermediate_size": 256, "vocab_size": len(words) + 2}
    (folder / weights.CONFIG).write_text(json.dumps(random_weights.BERT | size))
    vit = VisionTransformer(img_size=224, patch_size=16, embed_dim=64, depth=2, num_heads=4)
    blip_pretrain.create_vit = lambda *_: (vit, 64)
    model = random_weights.build(folder, seed=0)
    with torch.no_grad():  # as trained towers do, let pictures and words matter
        for name, value in model.blip.named_parameters():
            if value.dim() > 1 and "embed" not in name:
                value.mul_(3)
    return model


def by_package(model: Any, images: np.ndarray, prompt: str) -> np.ndarray:
    """One image at a time, as the package does."""
    with torch.no_grad():
        return np.array(model.inference_rank(prompt, [Image.fromarray(image) for image in images])[1])


def distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).max())


def altered(model: Any, images: np.ndarray, step: int, replacement: Any) -> np.ndarray:
    """Scores with one step of the preprocessing replaced."""
    original = model.preprocess.transforms[step]
    model.preprocess.transforms[step] = replacement
    scores = score_images(model, images, PROMPT)
    model.preprocess.transforms[step] = original
    return scores


def refusal(model: Any, state: dict[str, torch.Tensor]) -> str:
    try:
        weights.install(model, state)
    except ValueError as error:
        return str(error)
    return ""


def small(folder: Path) -> dict[str, Any]:
    model = small_network(folder)
    shapes = [(64, 64), (512, 512), (300, 200), (224, 224)]
    sets = [pictures(*shape, seed=i) for i, shape in enumerate(shapes)]
    images, tall = sets[1], sets[2]
    half, squeeze = transforms.Normalize([0.5] * 3, [0.5] * 3), transforms.Resize((224, 224))
    ours, theirs = score_images(model, images, PROMPT), by_package(model, images, PROMPT)
    state = model.state_dict()
    renamed = {name.replace("mlp.layers.0.bias", "mlp.bias"): value for name, value in state.items()}
    without_positions = {name: value for name, value in state.items() if name not in weights.UNLEARNED}
    views = pictures(64, 64, 40, seed=9)
    return {
        "parity": max(
            distance(score_images(model, x, p, batch=2), by_package(model, x, p))
            for x in sets
            for p in (PROMPT, HATS, "cat")
        ),
        "one": abs(model.score(PROMPT, Image.fromarray(images[0])) - float(ours[0])),
        "spread": float(np.ptp(theirs)),
        "dtype": str(ours.dtype),
        "shape": list(ours.shape),
        "normalization": distance(altered(model, images, 4, half), theirs),
        "squeezed": distance(altered(model, tall, 0, squeeze), by_package(model, tall, PROMPT)),
        "bilinear": distance(altered(model, images, 0, transforms.Resize(224)), theirs),
        "other_text": distance(score_images(model, images, "a red cat with a blue hat"), theirs),
        "cut": distance(score_images(model, images, HATS), score_images(model, images, HATS + "cat")),
        "before_the_cut": distance(
            score_images(model, images, HATS), score_images(model, images, HATS.replace("blue", "cat", 1))
        ),
        "batch": max(
            distance(score_images(model, views, PROMPT, batch=n), score_images(model, views, PROMPT, batch=1))
            for n in (7, 30, 40)
        ),
        "renamed": refusal(model, renamed),
        "reshaped": refusal(model, state | {"mlp.layers.4.bias": torch.zeros(3)}),
        "without_positions": refusal(model, without_positions),
    }


def true(folder: Path) -> dict[str, Any]:
    """Random weights of the published size as a checkpoint, read by the package's own loader."""
    from ImageReward.utils import load

    from eval.views.archive import composite, write_views
    from segmentdreamer.weights.install import to_safetensors

    random_weights.write_stand_ins(folder)
    built = random_weights.build(folder, seed=1)
    parameters = sum(value.numel() for value in built.parameters())
    torch.save(built.state_dict(), folder / "ImageReward.pt")
    to_safetensors(folder / "ImageReward.pt", folder / weights.WEIGHTS)
    del built
    with contextlib.chdir(folder):
        theirs = load("ImageReward.pt", device="cpu", med_config=weights.CONFIG)
    alpha = pictures(64, 64, 2, seed=1)[..., :1]  # under it, colors that must not be seen
    views = np.concatenate([pictures(64, 64, 2), alpha], axis=-1)
    write_views(views, folder / "views.zip")
    return {"parameters": parameters, "theirs": by_package(theirs, composite(views), PROMPT).tolist()}


def golden(folder: Path, images: Path) -> dict[str, Any]:
    model = weights.load(folder)
    found = [np.asarray(Image.open(images / f"{i}.webp").convert("RGB")) for i in range(1, 5)]
    return {"scores": [float(score_images(model, image[None], GOLDEN)[0]) for image in found]}


if __name__ == "__main__":
    torch.set_num_threads(1)
    figures = {"small": small, "true": true, "golden": golden}[sys.argv[1]](*map(Path, sys.argv[2:]))
    print("\n" + json.dumps(figures))
