"""The trunk's numbers, of which identity.NUMBERS is the version: assets of another version are made again.

`python tests/segmentdreamer/test_trunk_numbers.py` writes them anew, once NUMBERS was raised; and those of a
new method.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

from segmentdreamer.config import load_config
from segmentdreamer.diffusion.sampling import sample
from segmentdreamer.interfaces import Conditioning
from segmentdreamer.methods import load_method, registry, trunk_settings
from segmentdreamer.optimize import optimize, start_run
from segmentdreamer.prior.diffusers_prior import open_prior
from segmentdreamer.prior.view_prompts import embed_views
from segmentdreamer.randomness import generator
from segmentdreamer.recipe.identity import NUMBERS
from segmentdreamer.start.shapes import start_seed, start_state
from segmentdreamer.timing.stopwatch import Stopwatch

GOLDEN = Path(__file__).parents[1] / "data/numbers.json"
ADVICE = (
    "the trunk's numbers moved: raise NUMBERS in segmentdreamer/recipe/identity.py, so that all assets are "
    "made again, then `python tests/segmentdreamer/test_trunk_numbers.py`, and name the change "
    "in CHANGELOG.md"
)
# What the trunk does within two hundred steps, within four.
SETTINGS = [
    "train.steps=4", "train.warmup=2", "train.as_latent=0.3", "train.flip=0.5", "train.disparity=true",
    "start.count=200", "optimizer.refine_start=1", "optimizer.refine_stop=4", "optimizer.refine_every=2",
    "optimizer.grow_grad=0.001", "brightness.first=1", "brightness.last=3", "regularizers.tv=0.1",
]  # fmt: skip
METHODS = [name for name, entry in registry().items() if {"class", "source"} <= set(entry)]


def measure(name: str) -> dict[str, list[float]]:
    """A few numbers of a few steps of a method: gradients, losses, and moments of the parameters."""
    config = load_config("mini", [*trunk_settings(name), *SETTINGS])
    prior = open_prior(config.prior, "cpu")
    method, seed = load_method(name, config.methods.get(name, {})), start_seed("p02", 0)
    prompts = embed_views(prior, "a red bear with a blue hat", config.prompts, method)
    run = start_run(start_state(config.start, seed), config)
    optimize(run, method, prior, prompts, config, seed, Stopwatch())
    found = {key: [float(row[key]) for row in run.rows] for key in ("gradient_rms", "loss", "gaussians")}
    for key, value in run.params.items():
        found[key] = [float(value.detach().mean()), float(value.detach().std())]
    return found


def draw() -> dict[str, list[float]]:
    """The same of the prior's own samples."""
    prior = open_prior(load_config("mini").prior, "cpu")
    embedded = prior.encode_prompt(["a red bear with a blue hat", ""])
    noise = torch.randn(2, *prior.latent_shape, generator=generator(1, "noise"))
    cond = Conditioning(embedded[:1].expand(2, -1, -1), embedded[1:], embedded[1:])
    images = prior.decode(sample(prior, cond, noise, 5.0, 5))
    return {"samples": [float(images.mean()), float(images.std()), *images[:, :, 32, 32].flatten().tolist()]}


@pytest.mark.parametrize("name", [*METHODS, "samples"])
def test_the_trunks_numbers_are_those_of_their_version(name: str) -> None:
    golden = json.loads(GOLDEN.read_text())
    assert golden["version"] == NUMBERS, (
        "`python tests/segmentdreamer/test_trunk_numbers.py` after NUMBERS was raised"
    )
    found, expected = draw() if name == "samples" else measure(name), golden[name]
    assert found.keys() == expected.keys(), ADVICE
    for key, values in expected.items():  # rounding grows over four steps, by processor
        assert found[key] == pytest.approx(values, rel=0.02, abs=2e-4), f"{name}, {key}: {ADVICE}"


def main() -> None:
    known = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {"version": 0}
    if known["version"] != NUMBERS:
        known = {"version": NUMBERS, "samples": draw()}
    elif not set(METHODS) - set(known):
        sys.exit("raise NUMBERS in segmentdreamer/recipe/identity.py first")
    numbers = {name: measure(name) for name in METHODS if name not in known}  # methods that are new
    GOLDEN.write_text(json.dumps(known | numbers, indent=1) + "\n")


if __name__ == "__main__":
    main()
