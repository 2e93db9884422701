"""The CUDA backend: gsplat, with depth as one more color where its gradient must not move Gaussians."""

import fcntl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from segmentdreamer.rasterizer.conventions import RenderMode, assemble


def rasterization(
    render_mode: RenderMode, depth_moves: bool, **call: Any
) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """`rasterizer.rasterization`, whose other arguments are `call`, by gsplat; they are checked there."""
    from gsplat import rasterization as draw

    build_kernels()
    if render_mode == "RGB" or depth_moves:
        return draw(render_mode=render_mode, packed=False, **call)
    tensors = (call[name] for name in ("means", "colors", "viewmats", "backgrounds"))
    call["colors"], call["backgrounds"] = add_depth(*tensors)
    image, alpha, meta = draw(render_mode="RGB", packed=False, **call)
    return assemble(image[..., :3], image[..., 3:], alpha, render_mode), alpha, meta


@cache
def build_kernels() -> None:
    """Load gsplat's kernels, which the first process of a machine builds while the others wait.

    Raises ValueError, in a line, where no CUDA compiler is found.
    """
    from torch.utils.cpp_extension import _get_build_directory

    folder = Path(_get_build_directory("gsplat_cuda", verbose=False))
    with alone(folder.with_suffix(".lock")):
        if not (find_spec("gsplat.csrc") or any(folder.glob("gsplat_cuda*.so"))):
            print("building gsplat's CUDA kernels, once: a minute and a half", file=sys.stderr, flush=True)
        from gsplat.cuda._backend import _C
    if _C is None:
        raise ValueError(
            f"gsplat's kernels need a CUDA compiler: install the CUDA toolkit {torch.version.cuda or ''} "
            "(nvcc) and name its folder in CUDA_HOME"
        )


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """While no other process of this machine is in a block of the same path."""
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def add_depth(
    means: Tensor, colors: Tensor, viewmats: Tensor, backgrounds: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Colors (C, N, 4) whose last channel is the depth in each view, without gradient, over 0."""
    depths = (means @ viewmats[:, 2, :3].mT + viewmats[:, 2, 3]).T.detach()  # (C, N)
    features = torch.cat([colors.expand(len(viewmats), -1, -1), depths[..., None]], dim=-1)
    behind = None if backgrounds is None else torch.nn.functional.pad(backgrounds, (0, 1))
    return features, behind
