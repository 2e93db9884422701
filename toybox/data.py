"""Training data of the toybox: random scenes seen from random cameras, with their captions.

`python -m toybox.data --out toybox/data/train.npz --images 60000` renders once; the trainers lay a
fresh background under every image each time they use it.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from segmentdreamer.scene import cameras
from toybox import scenes
from toybox.render import render

VIEWS = ("front", "right side", "back", "left side")  # in the order of azimuth 0, 90, 180, -90
WHITE_SHARE = 0.55  # of the backgrounds


@dataclass(frozen=True)
class Pictures:
    """N rendered toys: what each is, from where it is seen, and its pixels."""

    rgba: np.ndarray  # (N, 64, 64, 4) uint8, straight alpha
    specs: list[scenes.Spec]
    azimuth: np.ndarray  # (N,) degrees

    @property
    def views(self) -> list[str]:
        return [view_word(a) for a in self.azimuth]


def view_word(azimuth: float) -> str:
    """The side that a camera at this azimuth (degrees) sees, by 90-degree sectors."""
    return VIEWS[int(((azimuth + 45.0) % 360.0) // 90.0)]


def view_caption(text: str, view: str) -> str:
    """The paper's view suffix, with the toybox's two words for the sides."""
    return f"{text}, {view} view"


def draw_spec(rng: np.random.Generator, pool: dict[str, list[scenes.Spec]]) -> scenes.Spec:
    """A spec: the class uniformly, then half of the time with a hat or roof where it may have one."""
    specs = list(pool.values())[rng.integers(len(pool))]
    plain = [s for s in specs if s.second is None]
    hatted = [s for s in specs if s.second is not None]
    chosen = hatted if hatted and (not plain or rng.random() < 0.55) else plain
    return chosen[rng.integers(len(chosen))]


def by_class(specs: list[scenes.Spec]) -> dict[str, list[scenes.Spec]]:
    return {cls: [s for s in specs if s.cls == cls] for cls in scenes.CLASSES}


def draw_cameras(
    azimuth: np.ndarray, rng: np.random.Generator, size: int = 64
) -> tuple[np.ndarray, np.ndarray]:
    """Cameras around the unit ball that frame it (visible half-width .92 to 1.15); viewmats and Ks."""
    n = len(azimuth)
    elevation = torch.tensor(rng.uniform(-15, 40, n), dtype=torch.float32)
    radius = torch.tensor(rng.uniform(3.3, 5.5, n), dtype=torch.float32)
    fov = 2 * torch.atan(torch.tensor(rng.uniform(0.92, 1.15, n), dtype=torch.float32) / radius)
    target = torch.tensor(rng.normal(0, 0.03, (n, 3)), dtype=torch.float32)
    eye = cameras.position(torch.tensor(azimuth, dtype=torch.float32), elevation, radius)
    up = torch.tensor([[0.0, 0.0, 1.0]]).expand(n, 3)
    viewmats = cameras.look_at(eye, target, up)
    return viewmats.numpy(), cameras.intrinsics(fov, size).numpy()


def draw_pictures(
    n: int, rng: np.random.Generator, specs: list[scenes.Spec] | None = None, size: int = 64
) -> Pictures:
    """Render n pictures of random specs (default: the training ones) from random sides."""
    pool = by_class(specs or scenes.training_specs())
    pool = {cls: members for cls, members in pool.items() if members}
    drawn = [draw_spec(rng, pool) for _ in range(n)]
    azimuth = rng.uniform(-180, 180, n)
    viewmats, Ks = draw_cameras(azimuth, rng, size)
    rgba = render([scenes.primitives(spec) for spec in drawn], viewmats, Ks, size)
    return Pictures(rgba, drawn, azimuth)


def draw_backgrounds(n: int, rng: np.random.Generator) -> np.ndarray:
    """Background colors (n, 3) in [0, 1]: a little more than half of them white."""
    colors = rng.uniform(0.3, 1.0, (n, 3)).astype(np.float32)
    colors[rng.random(n) < WHITE_SHARE] = 1.0
    return colors


def lay_backgrounds(rgba: np.ndarray, rng: np.random.Generator) -> torch.Tensor:
    """Pictures over random backgrounds as (B, 3, H, W) float32 in [0, 1]."""
    return lay_over(torch.from_numpy(rgba), torch.from_numpy(draw_backgrounds(len(rgba), rng)))


def lay_over(rgba: torch.Tensor, colors: torch.Tensor) -> torch.Tensor:
    """Straight-alpha uint8 (B, H, W, 4) over colors (B, 3) in [0, 1]: (B, 3, H, W) float32 in [0, 1]."""
    image = rgba.float().div_(255)
    alpha, background = image[..., 3:], colors[:, None, None]
    return (image[..., :3] * alpha + background * (1 - alpha)).permute(0, 3, 1, 2).contiguous()


def draw_images(rgba: torch.Tensor, picked: torch.Tensor) -> torch.Tensor:
    """The picked pictures over backgrounds as `draw_backgrounds` draws them, made where the pictures lie.

    rgba: (N, H, W, 4) uint8; picked: (B,). Returns (B, 3, H, W) float32 in [0, 1].
    """
    colors = 0.3 + 0.7 * torch.rand(len(picked), 3, device=rgba.device)
    white = torch.rand(len(picked), 1, device=rgba.device) < WHITE_SHARE
    return lay_over(rgba[picked], colors.masked_fill(white, 1.0))


def save(pictures: Pictures, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    specs = json.dumps([[s.cls, s.color, s.second] for s in pictures.specs])
    np.savez(path, rgba=pictures.rgba, azimuth=pictures.azimuth, specs=np.array(specs))


def load(path: Path) -> Pictures:
    stored = np.load(path)
    specs = [scenes.Spec(*row) for row in json.loads(str(stored["specs"]))]
    return Pictures(stored["rgba"], specs, stored["azimuth"])


def main() -> None:
    parser = argparse.ArgumentParser(description="Render a training set of the toybox world.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--images", type=int, default=60_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--held-out", action="store_true", help="draw the combinations held out")
    args = parser.parse_args()
    specs = scenes.held_out_specs() if args.held_out else scenes.training_specs()
    save(draw_pictures(args.images, np.random.default_rng(args.seed), specs), args.out)


if __name__ == "__main__":
    main()
