"""The numbers of views and scores, of which identity.VIEWS and identity.SCORES are the versions.

`python tests/eval/test_numbers.py` writes them anew, once the version was raised.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from eval.identity import SCORES, VIEWS
from eval.prompt_table import read_prompts
from eval.scores.scorers import load_models, prepare, score_asset
from eval.views.render import render_surface
from segmentdreamer.scene.gaussians import parameters, save_ply

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests/data/numbers_of_scores.json"
VIEW = {"count": 12, "elevation": 10.0, "radius": 4.1, "fov": 0.515, "size": 64}
MODELS = ROOT / "toybox/models"
ADVICE = (
    "these numbers moved: raise {0} in eval/identity.py, so that they are made again, then `python "
    "tests/eval/test_numbers.py`, and name the change in CHANGELOG.md"
)


def render(folder: Path) -> tuple[dict[str, list[float]], np.ndarray]:
    """Moments of the views of a cloud of colored Gaussians, and the views."""
    g = torch.Generator().manual_seed(0)
    points, colors = torch.randn(200, 3, generator=g) * 0.3, torch.rand(200, 3, generator=g)
    save_ply(
        parameters(points, torch.full((200, 3), 0.08), torch.full((200,), 0.7), colors), folder / "a.ply"
    )
    rgba, _, surface = render_surface(folder / "a.ply", VIEW, "cpu")
    known, depth = rgba / 255, np.nan_to_num(np.asarray(surface.depth, dtype=float))
    found = {"mean": known.mean((0, 1, 2)).tolist(), "std": known.std((0, 1, 2)).tolist()}
    return found | {"depth": [float(depth.mean()), float(depth.std())]}, rgba


def score(rgba: np.ndarray) -> dict[str, list[float]]:
    """The mean of every score, and moments of the features."""
    models = load_models("toybox-clip", str(MODELS / "clip/model.safetensors"), MODELS / "reward")
    scorers = prepare(models, read_prompts(ROOT / "prompts/toybox.tsv"))
    rows, features = score_asset(scorers, rgba, "p02")
    found = {str(name): [float(value)] for name, value in rows.groupby("metric")["value"].mean().items()}
    return found | {space: [float(a.mean()), float(a.std())] for space, a in features.items()}


@pytest.mark.parametrize(("kind", "version"), [("VIEWS", VIEWS), ("SCORES", SCORES)])
def test_numbers_are_those_of_their_version(tmp_path: Path, kind: str, version: int) -> None:
    golden = json.loads(GOLDEN.read_text())[kind]
    views, rgba = render(tmp_path)
    assert golden.pop("version") == version, f"`python tests/eval/test_numbers.py` after {kind} was raised"
    found = views if kind == "VIEWS" else score(rgba)
    for key, values in golden.items():
        assert found[key] == pytest.approx(values, rel=0.01, abs=2e-3), f"{key}: {ADVICE.format(kind)}"


def main() -> None:
    known = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    if all(known.get(kind, {}).get("version") == now for kind, now in (("VIEWS", VIEWS), ("SCORES", SCORES))):
        sys.exit("raise VIEWS or SCORES in eval/identity.py first")
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        views, rgba = render(Path(folder))
    numbers = {"VIEWS": {"version": VIEWS} | views, "SCORES": {"version": SCORES} | score(rgba)}
    GOLDEN.write_text(json.dumps(numbers, indent=1) + "\n")


if __name__ == "__main__":
    main()
