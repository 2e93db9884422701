"""What a method is shown beside latents: its wording of the prompt, cameras, the surface, mirrored alike."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from segmentdreamer.interfaces import Method
from segmentdreamer.methods import load_method
from segmentdreamer.prior.view_prompts import PromptConfig, embed_views, word_views
from segmentdreamer.scene.cameras import orbit
from segmentdreamer.scene.render import Rendered, seen

CAMERAS = orbit(3, 10.0, 4.0, 0.5, 16)


def rendered(depth: float | None) -> Rendered:
    """Flat pictures, half opaque: the depth is that of the surface times its opacity."""
    alphas = torch.full((3, 1, 16, 16), 0.5)
    flat = None if depth is None else torch.full((3, 16, 16), 0.5 * depth)
    return Rendered(torch.zeros(3, 3, 16, 16), alphas, None, torch.zeros(1, 3), {}, flat)


def test_surface_points_lie_behind_their_pixels_at_the_mean_depth() -> None:
    points = seen(rendered(3.0), CAMERAS).points
    assert points is not None
    ones = torch.ones(3, 1, 16, 16)
    inside = torch.einsum("bij,bjhw->bihw", CAMERAS.viewmats, torch.cat([points, ones], 1))[:, :3]
    assert torch.allclose(inside[:, 2], torch.full((3, 16, 16), 3.0), atol=1e-4)
    pixels = torch.einsum("bij,bjhw->bihw", CAMERAS.Ks, inside)
    middle = torch.arange(16) + 0.5
    assert torch.allclose(pixels[:, 0] / 3, middle.expand(3, 16, 16), atol=1e-3)
    assert torch.allclose(pixels[:, 1] / 3, middle[:, None].expand(3, 16, 16), atol=1e-3)


def test_without_depth_there_are_cameras_alone_and_a_mirrored_picture_keeps_them() -> None:
    views = seen(rendered(None), CAMERAS)
    assert views.points is None and views.flipped().points is None
    assert torch.allclose(views.c2w @ CAMERAS.viewmats, torch.eye(4).expand(3, 4, 4), atol=1e-5)
    whole = seen(rendered(3.0), CAMERAS)
    flipped = replace(whole, alphas=torch.rand(3, 1, 16, 16)).flipped()
    assert whole.points is not None and flipped.points is not None
    assert torch.equal(flipped.points, whole.points.flip(-1)) and torch.equal(flipped.c2w, whole.c2w)


class Reader:
    """Remembers what it is asked to embed."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def encode_prompt(self, texts: list[str]) -> torch.Tensor:
        self.texts += texts
        return torch.arange(len(texts), dtype=torch.float32)[:, None, None]


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        ("sds", "a duck, front view", None),
        ("vsd", "a duck, front view", "a duck"),
        ("sds_bridge", "a duck, ., front view", "a duck, oversaturated, smooth"),
    ],
)
def test_a_method_words_the_prompt_and_a_second_one(name: str, first: str, second: str | None) -> None:
    method, reader, config = load_method(name, {}), Reader(), PromptConfig()
    prompts = embed_views(reader, "a duck", config, method)
    assert reader.texts[0] == word_views("a duck", config, method)[0] == first
    sources = reader.texts[6:]
    assert len(sources) == (0 if second is None else 4)
    assert all(text.startswith(second or "") for text in sources)
    source = prompts.conditioning(torch.tensor([90.0])).source
    assert source is None if second is None else float(source) == 1.0


def test_other_places_in_a_wording_are_refused() -> None:
    method: Method = load_method("sds_bridge", {"source": "{prompt} {fault}"})
    with pytest.raises(ValueError, match="may have {prompt} and {view} alone"):
        embed_views(Reader(), "a duck", PromptConfig(), method)
