"""What a rasterizer renders: blending, depth, screen gradients, gsplat's density control, refusals."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from gsplat import DefaultStrategy
from scenes_of_gaussians import Scene, evaluate, random_scene, trainable, views
from torch import Tensor

from segmentdreamer.rasterizer import dense, rasterization
from segmentdreamer.rasterizer.conventions import (
    ALPHA_THRESHOLD,
)
from segmentdreamer.rasterizer.jit import kernel


def facing(depths: list[float], opacities: list[float]) -> tuple[Scene, dict[str, Any]]:
    """Wide Gaussians on the axis of a camera at the origin, seen through one pixel."""
    count = len(depths)
    scene = {
        "means": torch.tensor([[0.0, 0.0, depth] for depth in depths]),
        "quats": torch.tensor([[1.0, 0.0, 0.0, 0.0]]).repeat(count, 1),
        "scales": torch.full((count, 3), 10.0),
        "opacities": torch.tensor(opacities),
        "colors": torch.eye(3)[:count],
    }
    K = torch.tensor([[[1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [0.0, 0.0, 1.0]]])
    return scene, {"viewmats": torch.eye(4)[None], "Ks": K, "width": 1, "height": 1}


BACKENDS = pytest.mark.parametrize("render", [rasterization, dense.rasterization])


@BACKENDS
def test_gaussians_blend_front_to_back_over_the_background(render: Callable[..., Any]) -> None:
    scene, camera = facing([3.0, 2.0], [0.5, 0.25])
    image, alpha, _ = render(
        **scene, **camera, backgrounds=torch.tensor([[0.0, 0.0, 1.0]]), render_mode="RGB+D"
    )
    near, far, behind = 0.25, 0.75 * 0.5, 0.75 * 0.5
    expected = torch.tensor([far, near, behind, 2 * near + 3 * far])
    torch.testing.assert_close(image[0, 0, 0], expected)
    torch.testing.assert_close(alpha.squeeze(), torch.tensor(near + far))


@BACKENDS
def test_a_pixel_stops_before_the_gaussian_that_would_darken_it(render: Callable[..., Any]) -> None:
    scene, camera = facing([2.0, 3.0, 4.0], [0.99, 0.995, 0.5])
    image, alpha, _ = render(**scene, **camera)  # 0.01 is left; then 0.00005, below 1e-4
    torch.testing.assert_close(image[0, 0, 0], torch.tensor([0.99, 0.0, 0.0]))
    torch.testing.assert_close(alpha.squeeze(), torch.tensor(0.99))


@BACKENDS
def test_alpha_is_capped_and_passes_no_gradient_there(render: Callable[..., Any]) -> None:
    scene, camera = facing([2.0], [1.0])
    scene["opacities"].requires_grad_()
    _, alpha, _ = render(**scene, **camera)
    alpha.sum().backward()
    assert alpha.item() == pytest.approx(0.999, abs=1e-6)
    assert scene["opacities"].grad.item() == 0


@BACKENDS
def test_expected_depth_is_the_depth_of_what_is_seen(render: Callable[..., Any]) -> None:
    scene, camera = facing([3.0], [0.004])
    depth, _, _ = render(**scene, **camera, render_mode="ED")
    assert depth.shape == (1, 1, 1, 1)
    assert depth.item() == pytest.approx(3, rel=1e-5)
    empty, _, _ = render(**scene, **camera, near_plane=4.0, render_mode="ED")
    assert empty.item() == 0


def test_no_view_gives_no_image() -> None:
    viewless: Scene = {"viewmats": torch.zeros(0, 4, 4), "Ks": torch.zeros(0, 3, 3)}
    image, alpha, _ = rasterization(**random_scene(3), **viewless, width=4, height=5)
    assert image.shape == (0, 5, 4, 3)
    assert alpha.shape == (0, 5, 4, 1)


def test_a_gaussian_that_is_not_finite_is_not_drawn() -> None:
    cameras = views(2, 24, 24)
    clean = random_scene(20)
    image, _, _ = rasterization(**clean, **cameras)
    for name in ("means", "quats", "scales", "opacities"):
        for value in (float("nan"), float("inf")) if name == "scales" else (float("nan"),):
            spoilt = {key: torch.cat((tensor, tensor[:1])) for key, tensor in clean.items()}
            spoilt[name][-1] = value
            results = evaluate(rasterization, spoilt, torch.float32, **cameras)
            torch.testing.assert_close(results["image"], image, rtol=0, atol=0)
            assert all(torch.isfinite(result).all() for result in results.values())


def test_the_same_input_gives_the_same_bytes_on_any_number_of_threads() -> None:
    scene, cameras = random_scene(300), views(3, 61, 47)
    threads = torch.get_num_threads()
    try:
        results = []
        for count in (1, 2, 1):
            torch.set_num_threads(count)
            results.append(evaluate(rasterization, scene, torch.float32, **cameras))
    finally:
        torch.set_num_threads(threads)
    for other in results[1:]:
        assert all(torch.equal(value, other[name]) for name, value in results[0].items())


def test_the_screen_space_gradient_is_that_of_moving_the_gaussian_on_screen() -> None:
    scene, cameras = random_scene(1), views(1, 32, 32)
    scene["means"].zero_()
    weights = torch.arange(32.0)[None, None, :, None]  # grows with x, by one a pixel
    image, _, meta = rasterization(**{k: v.requires_grad_() for k, v in scene.items()}, **cameras)
    meta["means2d"].retain_grad()
    (image * weights).sum().backward()
    gradient = meta["means2d"].grad[0, 0]
    assert gradient[0].item() == pytest.approx(image.sum().item(), rel=0.05)
    assert abs(gradient[1].item()) < 0.05 * gradient[0].item()


@pytest.mark.parametrize("backend", [rasterization, dense.rasterization])
@pytest.mark.parametrize("seed", range(4))
def test_depth_that_moves_nothing_is_a_color_that_does_not_change(backend: Any, seed: int) -> None:
    """The official disparity: a Gaussian's depth weighs its alpha, and gets no gradient of its own."""
    posed, weight = views(1, 33, 29), torch.rand(1, 29, 33, 1, generator=torch.Generator().manual_seed(seed))

    def gradients(scene: Scene, draw: Any) -> dict[str, Tensor]:
        leaves = {
            name: value.clone().requires_grad_(True) for name, value in scene.items() if name != "colors"
        }
        (draw(leaves) * weight).sum().backward()
        return {
            name: torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for name, leaf in leaves.items()
        }

    scene = random_scene(25, seed, spread=0.5)
    depths = (scene["means"] @ posed["viewmats"][0, :3, :3].T + posed["viewmats"][0, :3, 3])[:, 2:]
    ours = gradients(
        scene, lambda x: backend(**x, colors=scene["colors"], **posed, render_mode="D", depth_moves=False)[0]
    )
    official = gradients(
        scene, lambda x: rasterization(**x, colors=depths.expand(-1, 3), **posed)[0][..., :1]
    )
    moving = gradients(scene, lambda x: backend(**x, colors=scene["colors"], **posed, render_mode="D")[0])
    for name, value in official.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-3, atol=1e-3 * float(value.abs().max()))
    along = posed["viewmats"][0, 2, :3]  # the view's direction
    assert ((moving["means"] - ours["means"]) @ along).abs().max() > 0.1
    assert torch.equal(moving["opacities"], ours["opacities"]) and torch.equal(
        moving["scales"], ours["scales"]
    )


def test_gsplat_is_given_depth_as_a_color_without_background() -> None:
    from segmentdreamer.rasterizer.cuda import add_depth

    scene, posed = random_scene(7), views(3, 8, 8)
    means = scene["means"].requires_grad_(True)
    features, behind = add_depth(means, scene["colors"], posed["viewmats"], torch.ones(3, 3))
    depths = dense.rasterization(**scene, **posed)[2]["depths"]
    torch.testing.assert_close(features[..., 3], depths)
    assert torch.equal(features[..., :3], scene["colors"].expand(3, 7, 3)) and not features.requires_grad
    assert behind is not None and behind.tolist() == [[1, 1, 1, 0]] * 3


def strategy_step(strategy: DefaultStrategy, scene: Scene) -> int:
    """One step of training under gsplat's density control; the number of Gaussians after it."""
    params, optimizers = trainable(scene)
    strategy.check_sanity(params, optimizers)
    state = strategy.initialize_state(scene_scale=1.0)
    image, _, info = rasterization(
        params["means"],
        params["quats"],
        params["scales"].exp(),
        params["opacities"].sigmoid(),
        params["colors"],
        **views(2, 48, 48),
    )
    strategy.step_pre_backward(params, optimizers, state, 1, info)
    image.square().mean().backward()
    strategy.step_post_backward(params, optimizers, state, 1, info, packed=False)
    assert all(len(parameter) == len(params["means"]) for parameter in params.values())
    return len(params["means"])


def test_gsplats_density_control_clones_and_splits() -> None:
    always = {"refine_start_iter": 0, "refine_every": 1, "prune_opa": 0.0}
    scene = random_scene(30, spread=0.2)
    grown = strategy_step(DefaultStrategy(grow_grad2d=0.0, grow_scale3d=0.1, **always), scene)
    assert grown == 60  # every Gaussian is seen: the small are cloned, the large split in two
    assert strategy_step(DefaultStrategy(grow_grad2d=1e9, **always), scene) == 30


def test_gsplats_density_control_prunes() -> None:
    scene = random_scene(30)
    scene["opacities"][:7] = 0.004
    strategy = DefaultStrategy(grow_grad2d=1e9, refine_start_iter=0, refine_every=1)
    assert strategy_step(strategy, scene) == 23


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"quats": torch.zeros(5, 3)}, ValueError),
        ({"opacities": torch.zeros(5, 1)}, ValueError),
        ({"colors": torch.zeros(5, 4)}, ValueError),
        ({"backgrounds": torch.zeros(3)}, ValueError),
        ({"scales": torch.zeros(5, 3, dtype=torch.float64)}, ValueError),
        ({"width": 0}, ValueError),
        ({"render_mode": "depth"}, ValueError),
        ({"viewmats": torch.eye(4)[None].requires_grad_()}, ValueError),
        ({"sh_degree": 0}, NotImplementedError),
        ({"packed": True}, NotImplementedError),
        ({"covars": torch.zeros(5, 3, 3)}, NotImplementedError),
        ({"camera_model": "fisheye"}, NotImplementedError),
        ({"hight": 3}, TypeError),
    ],
)
def test_what_cannot_be_rendered_is_refused(change: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match=next(iter(change))):
        rasterization(**(random_scene(5) | views(1, 8, 8) | change))


def test_gsplats_neutral_options_are_accepted() -> None:
    rasterization(
        **random_scene(5),
        **views(1, 8, 8),
        absgrad=False,
        rasterize_mode="classic",
        camera_model="pinhole",
    )


def test_numba_is_not_imported_before_it_is_needed() -> None:
    code = "import sys, segmentdreamer.rasterizer; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_kernels_compile_where_nothing_can_be_cached() -> None:
    namespace: dict[str, Any] = {}
    exec("def double(x): return 2 * x", namespace)  # numba has no folder for code without a file
    assert kernel(namespace["double"])(21) == 42


def test_the_fast_exponential_is_exact_to_float32() -> None:
    from segmentdreamer.rasterizer.compositing import exp2

    powers = torch.linspace(-20, 0, 4001)
    ours = torch.tensor([exp2(power) for power in powers.numpy()], dtype=torch.float64)
    torch.testing.assert_close(ours, torch.exp2(powers.double()), rtol=3e-7, atol=0)
    assert exp2(torch.tensor(float("nan")).numpy()[()]) < ALPHA_THRESHOLD
