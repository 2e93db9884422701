"""Train ToyReward on pairs of pictures whose order is known, with the Bradley-Terry loss.

`python -m toybox.train_reward` renders twins (a scene, the same with one attribute changed, and its
two-faced version, all from one camera) unless --data holds them, then learns from three kinds of
pair: right against wrong attribute, less against more degraded, consistent against two-faced.
"""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from eval.scores.toy_reward import PAD, UNKNOWN, ToyReward
from segmentdreamer.records import replacing, write_json
from toybox import data, judge, scenes
from toybox.judge import normal, uniform
from toybox.render import render

FOLDER = Path(__file__).parent / "models" / "reward"
TRAINING_DATA = Path(__file__).parent / "data" / "twins.npz"
TWINS = 9000
SIDES = (50.0, 130.0)  # |azimuth| in degrees from which one picture shows both faces of an object
KINDS = ("attribute", "degraded", "two_faced")
BATCH = {"attribute": 32, "degraded": 24, "two_faced": 8}  # pairs of each kind in one step
ELSEWHERE = 0.2  # of the pairs compare two cameras
GAP = 0.25  # smallest difference of strength between two degradations
PULL = 1e-3  # weight of the squared scores, which keeps them from drifting and saturating


@dataclass
class Twins:
    """N cameras, each with three renders: the scene, one attribute changed, and two-faced."""

    rgba: np.ndarray  # (3, N, 64, 64, 4) uint8, straight alpha
    specs: list[scenes.Spec]
    altered: list[scenes.Spec]  # what the second render shows
    azimuth: np.ndarray  # (N,) degrees

    @cached_property
    def sides(self) -> np.ndarray:
        """Indices of the cameras that tell a two-faced object from a good one."""
        turn = np.abs((self.azimuth + 180) % 360 - 180)
        return np.flatnonzero((turn >= SIDES[0]) & (turn <= SIDES[1]))

    @cached_property
    def same(self) -> dict[scenes.Spec, np.ndarray]:
        """The cameras that look at each spec."""
        order = {spec: i for i, spec in enumerate(dict.fromkeys(self.specs))}
        index = np.array([order[spec] for spec in self.specs])
        return {spec: np.flatnonzero(index == i) for spec, i in order.items()}


@dataclass(frozen=True)
class Pairs:
    """B pictures (B, 3, 64, 64) in [0, 1] with prompts, each better than its rival."""

    better: Tensor
    worse: Tensor
    prompts: list[str]
    rival_prompts: list[str]


def alter(spec: scenes.Spec, others: list[scenes.Spec], rng: np.random.Generator) -> scenes.Spec:
    """One of `others` that differs from `spec` in one attribute only, each as often."""
    near: dict[int, list[scenes.Spec]] = {}
    for other in others:
        differs = (other.cls != spec.cls, other.color != spec.color, other.second != spec.second)
        if sum(differs) == 1:
            near.setdefault(differs.index(True), []).append(other)
    attribute = sorted(near)[rng.integers(len(near))]
    return near[attribute][rng.integers(len(near[attribute]))]


def draw_twins(
    n: int, rng: np.random.Generator, specs: list[scenes.Spec], others: list[scenes.Spec]
) -> Twins:
    """Render n cameras of random `specs`, half from the sides; alterations are among `others`."""
    pool = {cls: members for cls, members in data.by_class(specs).items() if members}
    drawn = [data.draw_spec(rng, pool) for _ in range(n)]
    altered = [alter(spec, others, rng) for spec in drawn]
    side = rng.uniform(*SIDES, n) * rng.choice([-1, 1], n)
    azimuth = np.where(rng.random(n) < 0.5, side, rng.uniform(-180, 180, n))
    viewmats, Ks = data.draw_cameras(azimuth, rng)
    right = [scenes.primitives(spec) for spec in drawn]
    wrong = [scenes.primitives(spec) for spec in altered]
    doubled = [scenes.two_faced(rows) for rows in right]
    rgba = np.stack([render(rows, viewmats, Ks, 64) for rows in (right, wrong, doubled)])
    return Twins(rgba, drawn, altered, azimuth)


def _splat(image: Tensor, centers: Tensor, sigma: Tensor, colors: Tensor, opacity: Tensor) -> Tensor:
    """Lay Gaussian blobs over images: centers (B, K, 2), sigma (B, K) pixels, colors (B, K, 3)."""
    axis = torch.arange(image.shape[-1]) + 0.5
    offsets = (axis - centers[..., None]) / sigma[..., None, None]  # (B, K, 2, size)
    x, y = torch.exp(-0.5 * offsets**2).unbind(2)
    cover = opacity * y[..., None] * x[:, :, None, :]  # (B, K, H, W)
    out = image.clone()
    for k in range(centers.shape[1]):
        out.lerp_(colors[:, k, :, None, None].expand_as(out), cover[:, k, None])
    return out


def _smooth(rng: np.random.Generator, n: int, channels: int, cells: int) -> Tensor:
    """Smooth noise (n, channels, 64, 64) of unit scale."""
    return F.interpolate(normal(rng, n, channels, cells, cells), (64, 64), mode="bicubic")


# Degradations map (image, toy, background, strength, rng) to image: `toy` is the silhouette
# (B, 1, H, W), background (B, 3, 1, 1), strength (B, 1, 1, 1) in [0, 1]. No draw depends on the
# strength, so that one seed gives the same damage at two strengths.


def _blur(image, toy, background, strength, rng):
    return judge.blur(image, 3.0 * strength.flatten())


def _splats(image, toy, background, strength, rng):
    """A field of too few, too coarse Gaussians that take their colors from the picture."""
    n, blobs = len(image), 64
    centers = uniform(rng, 8, 56, n, blobs, 2)
    rows, columns = centers[..., 1].long(), centers[..., 0].long()
    batch = torch.arange(n)[:, None]
    sigma = uniform(rng, 1.2, 4.0, n, blobs) * (0.4 + 0.6 * strength.view(n, 1))
    off = 0.15 * strength.view(n, 1, 1) * normal(rng, n, blobs, 3)
    colors = image[batch, :, rows, columns] + off
    return _splat(image, centers, sigma, colors, 0.9 * strength)


def _noise(image, toy, background, strength, rng):
    return image + 0.2 * strength * normal(rng, *image.shape)


def _blotches(image, toy, background, strength, rng):
    return image + 0.3 * strength * toy * _smooth(rng, len(image), 3, 10)


def _colors(image, toy, background, strength, rng):
    """Washed-out or, the other half, over-saturated paint."""
    gray = image.mean(1, keepdim=True)
    pale = gray + (1 - 0.8 * strength) * (image - gray)
    pale = pale + 0.5 * strength * (0.75 - pale)
    loud = gray + (1 + 2 * strength) * (image - gray)
    loud = 0.5 + (1 + strength) * (loud - 0.5)
    washed = uniform(rng, 0, 1, len(image), 1, 1, 1) < 0.5
    return image + toy * (torch.where(washed, pale, loud) - image)


def _floaters(image, toy, background, strength, rng):
    n, blobs = len(image), 14
    centers = uniform(rng, 0, 64, n, blobs, 2)
    colors = uniform(rng, 0, 1, n, blobs, 3)
    return _splat(image, centers, uniform(rng, 0.8, 3.5, n, blobs), colors, 0.9 * strength)


def _transparency(image, toy, background, strength, rng):
    """A toy that lets the background through, evenly or, the other half, in patches."""
    patches = torch.sigmoid(4 * _smooth(rng, len(image), 1, 6))
    even = uniform(rng, 0, 1, len(image), 1, 1, 1) < 0.5
    lost = 0.8 * strength * torch.where(even, torch.ones_like(patches), patches)
    return image + toy * lost * (background - image)


DEGRADATIONS = (_blur, _splats, _noise, _blotches, _colors, _floaters, _transparency)


def degrade(
    image: Tensor, toy: Tensor, background: Tensor, kind: np.ndarray, strength: Tensor, seed: int
) -> Tensor:
    """Damage image i by degradation number kind[i] at strength[i] in [0, 1]; 0 does nothing."""
    out = image.clone()
    for k, damage in enumerate(DEGRADATIONS):
        at = torch.from_numpy(np.flatnonzero(kind == k))
        if len(at):
            rng = np.random.default_rng([seed, k])
            amount = strength[at].view(-1, 1, 1, 1)
            out[at] = damage(image[at], toy[at], background[at], amount, rng)
    return out.clamp(0, 1)


def lay(rgba: np.ndarray, background: Tensor) -> tuple[Tensor, Tensor]:
    """Pictures over backgrounds (B, 3, 1, 1): images (B, 3, H, W) and silhouettes (B, 1, H, W)."""
    planes = torch.from_numpy(rgba).permute(0, 3, 1, 2).float().contiguous() / 255
    toy = planes[:, 3:]
    return planes[:, :3] * toy + background * (1 - toy), toy


def _partners(twins: Twins, picked: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """For each camera itself, or (now and then) another one that looks at the same spec."""
    moved = rng.random(len(picked)) < ELSEWHERE
    others = [rng.choice(twins.same[twins.specs[i]]) for i in picked]
    return np.where(moved, others, picked)


def draw_pairs(kind: str, n: int, twins: Twins, others: list[scenes.Spec], rng: np.random.Generator) -> Pairs:
    """n pairs of one of `KINDS` over random backgrounds, wrong prompts being among `others`.

    Half of the attribute and two-faced pairs carry the same mild damage on both sides, since the
    pictures to be scored are never as crisp as these renders.
    """
    sides = kind == "two_faced"
    picked = rng.choice(twins.sides, n) if sides else rng.integers(len(twins.specs), size=n)
    partner = picked if sides else _partners(twins, picked, rng)
    background = torch.from_numpy(data.draw_backgrounds(n, rng))[:, :, None, None]
    rival_specs = [twins.specs[i] for i in picked]
    rival_rgba = twins.rgba[KINDS.index(kind) if sides else 0, partner]
    if kind == "attribute":  # the wrong prompt for the picture, or the wrong picture for the prompt
        half = n // 2
        rival_specs[:half] = [alter(spec, others, rng) for spec in rival_specs[:half]]
        rival_rgba = np.concatenate([twins.rgba[0, picked[:half]], twins.rgba[1, partner[half:]]])
    better, toy = lay(twins.rgba[0, picked], background)
    worse, rival_toy = lay(rival_rgba, background)
    damage = rng.integers(len(DEGRADATIONS), size=n)
    low, seed = uniform(rng, 0, 0.5, n) * uniform(rng, -1, 1, n).gt(0), int(rng.integers(2**31))
    high = low
    if kind == "degraded":
        high = low + GAP + (1 - GAP - low) * uniform(rng, 0, 1, n)
    return Pairs(
        degrade(better, toy, background, damage, low, seed),
        degrade(worse, rival_toy, background, damage, high, seed),
        [twins.specs[i].caption() for i in picked],
        [spec.caption() for spec in rival_specs],
    )


def preference_loss(model: ToyReward, batch: list[Pairs], device: str) -> Tensor:
    """Bradley-Terry: minus the mean log-probability of the known order, and a weak pull to 0."""
    images = torch.cat([part for p in batch for part in (p.better, p.worse)]).to(device)
    prompts = [text for p in batch for part in (p.prompts, p.rival_prompts) for text in part]
    scores = model(images, prompts)
    parts = scores.split([len(p.prompts) for p in batch for _ in range(2)])
    margins = torch.cat([b - w for b, w in zip(parts[::2], parts[1::2], strict=True)])
    return -F.logsigmoid(margins).mean() + PULL * scores.square().mean()


def vocabulary(specs: list[scenes.Spec]) -> list[str]:
    words = {word for spec in specs for word in spec.caption().split()}
    return [PAD, UNKNOWN, *sorted(words)]


@torch.no_grad()
def standardise(model: ToyReward, twins: Twins, specs: list[scenes.Spec]) -> dict[str, float]:
    """Mean and deviation of the raw scores of good and bad pictures, as many of every kind."""
    rng = np.random.default_rng(1)
    pairs = [draw_pairs(kind, 400, twins, specs, rng) for kind in KINDS]
    good = [model(p.better, p.prompts) for p in pairs]
    bad = [model(p.worse, p.rival_prompts) for p in pairs]
    raw = torch.cat(good + bad)
    return {"mean": float(raw.mean()), "std": float(raw.std())}


def stored_twins(path: Path, seed: int) -> Twins:
    """The training twins of a file, rendered first if it is not there."""
    specs = scenes.training_specs()
    if not path.exists():
        twins = draw_twins(TWINS, np.random.default_rng(seed), specs, specs)
        rows = [[[s.cls, s.color, s.second] for s in group] for group in (twins.specs, twins.altered)]
        with replacing(path) as partial, partial.open("wb") as stream:
            np.savez(stream, rgba=twins.rgba, azimuth=twins.azimuth, specs=np.array(json.dumps(rows)))
    stored = np.load(path)
    rows = json.loads(str(stored["specs"]))
    drawn, altered = ([scenes.Spec(*row) for row in group] for group in rows)
    return Twins(stored["rgba"], drawn, altered, stored["azimuth"])


def main() -> None:
    args = judge.trainer_arguments("Train ToyReward.", TRAINING_DATA, FOLDER, 17)
    torch.manual_seed(args.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    twins, specs = stored_twins(args.data, args.seed), scenes.training_specs()
    words = vocabulary(specs)
    model = ToyReward(words).to(device)

    def loss(rng: np.random.Generator) -> Tensor:
        batch = [draw_pairs(kind, n, twins, specs, rng) for kind, n in BATCH.items()]
        return preference_loss(model, batch, device)

    judge.fit(model, loss, args.minutes, args.seed, args.out / "checkpoint.pt")
    scale = standardise(model.cpu(), twins, specs)
    write_json(args.out / "config.json", {"vocabulary": words} | scale)
    judge.save(model, args.out)


if __name__ == "__main__":
    main()
