"""What every backend agrees on: gsplat 1.5.3's constants, arguments, render modes, `meta`."""

from typing import Any, Literal, get_args

import torch
from torch import Tensor

MAX_ALPHA = 0.999  # a Gaussian never hides everything behind it; no gradient flows past the clamp
ALPHA_THRESHOLD = 1 / 255  # fainter than this, a Gaussian does not touch the pixel
MIN_TRANSMITTANCE = 1e-4  # a pixel stops before the Gaussian that would leave no more than this
MAX_EXTENT = 3.33  # radii are capped at this many standard deviations
FOV_MARGIN = 0.3  # x/z and y/z are clamped this far outside the image, in half fields of view
MIN_QUATERNION_NORM = 1e-12  # torch.nn.functional.normalize's floor

RenderMode = Literal["RGB", "D", "ED", "RGB+D", "RGB+ED"]

# gsplat's further arguments, each with the only value that is accepted.
NOT_SUPPORTED: dict[str, object] = {
    "sh_degree": None,
    "packed": False,
    "sparse_grad": False,
    "absgrad": False,
    "rasterize_mode": "classic",
    "channel_chunk": 32,
    "distributed": False,
    "camera_model": "pinhole",
    "segmented": False,
    "covars": None,
    "with_ut": False,
    "with_eval3d": False,
    "radial_coeffs": None,
    "tangential_coeffs": None,
    "thin_prism_coeffs": None,
    "ftheta_coeffs": None,
    "rolling_shutter": None,
    "viewmats_rs": None,
}


def check_options(width: int, height: int, render_mode: str, **options: object) -> None:
    """Refuse what no backend handles.

    ValueError for an impossible value, NotImplementedError for an option of gsplat's that is not supported,
    TypeError for a name that gsplat does not know either.
    """
    if width < 1 or height < 1:
        raise ValueError(f"width and height must be at least 1 pixel, got {width} x {height}")
    if render_mode not in get_args(RenderMode):
        raise ValueError(f"render_mode must be one of {get_args(RenderMode)}, got {render_mode!r}")
    for name, value in options.items():
        if name not in NOT_SUPPORTED:
            raise TypeError(f"rasterization() got an unexpected keyword argument {name!r}")
        if isinstance(value, Tensor) or value != NOT_SUPPORTED[name]:
            raise NotImplementedError(f"{name} other than {NOT_SUPPORTED[name]!r} is not supported")


def check_tensors(
    means: Tensor,
    quats: Tensor,
    scales: Tensor,
    opacities: Tensor,
    colors: Tensor,
    viewmats: Tensor,
    Ks: Tensor,
    backgrounds: Tensor | None,
) -> None:
    """Refuse tensors whose shapes, types or devices do not fit together (ValueError)."""
    n = means.shape[0] if means.dim() else 0
    c = viewmats.shape[0] if viewmats.dim() else 0
    expected: dict[str, tuple[Tensor, tuple[tuple[int, ...], ...]]] = {
        "means": (means, ((n, 3),)),
        "quats": (quats, ((n, 4),)),
        "scales": (scales, ((n, 3),)),
        "opacities": (opacities, ((n,),)),
        "colors": (colors, ((n, 3), (c, n, 3))),
        "viewmats": (viewmats, ((c, 4, 4),)),
        "Ks": (Ks, ((c, 3, 3),)),
    }
    if backgrounds is not None:
        expected["backgrounds"] = (backgrounds, ((c, 3),))
    for name, (tensor, shapes) in expected.items():
        if tuple(tensor.shape) not in shapes:
            wanted = " or ".join(map(str, shapes))
            raise ValueError(f"{name} must have shape {wanted}, got {tuple(tensor.shape)}")
        if not tensor.is_floating_point() or tensor.dtype != means.dtype:
            raise ValueError(f"{name} must have the float type of means, got {tensor.dtype}")
        if tensor.device != means.device:
            raise ValueError(f"{name} must be on {means.device}, got {tensor.device}")


def assemble(rgb: Tensor, depth: Tensor, alpha: Tensor, render_mode: str) -> Tensor:
    """The channels of a render mode, (C, H, W, X); "ED" divides the depth by alpha, floored at 1e-10."""
    if render_mode == "RGB":
        return rgb
    if render_mode.endswith("ED"):
        depth = depth / alpha.clamp(min=1e-10)
    return torch.cat((rgb, depth), dim=-1) if render_mode.startswith("RGB") else depth


def metadata(
    means2d: Tensor, radii: Tensor, depths: Tensor, opacities: Tensor, width: int, height: int
) -> dict[str, Any]:
    """gsplat's `meta` for `packed=False`: what its densification strategies read.

    `means2d` (C, N, 2) in pixels, `radii` (C, N, 2) int32 in pixels (0: not drawn), `depths` (C, N).
    """
    return {
        **dict.fromkeys(("batch_ids", "camera_ids", "gaussian_ids")),  # nothing is packed
        "radii": radii,
        "means2d": means2d,
        "depths": depths,
        "opacities": opacities.expand(len(radii), -1),
        "width": width,
        "height": height,
        "n_batches": 1,
        "n_cameras": len(radii),
    }
