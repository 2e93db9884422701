"""Compile the kernels once, in a process of their own, so that every run uses the cached machine code.

Code that numba compiled in this very process and the same code read back from its cache round
differently in the last bit: without this, the first run on a machine would not repeat.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
RUNNING = "SEGMENTDREAMER_COMPILING"  # set in the compiling process, which must not start another


def ensure_compiled() -> None:
    """Fill numba's cache unless that was done for these sources; a marker beside it remembers."""
    if RUNNING in os.environ:
        return
    marker = marker_path()
    if marker.exists():
        return
    root = str(FOLDER.parent.parent)
    paths = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
    environment = os.environ | {RUNNING: "1", "PYTHONPATH": paths}
    subprocess.run([sys.executable, "-m", "segmentdreamer.rasterizer.warmup"], env=environment, check=True)
    try:
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.touch()
    except OSError:  # no writable folder: numba keeps its cache elsewhere, and this is run again
        pass


def marker_path() -> Path:
    """Named after the sources, Python and the processor, as numba's own cache entries are."""
    import numba
    from llvmlite.binding import get_host_cpu_name

    digest = hashlib.sha256()
    for path in sorted(FOLDER.glob("*.py")):
        digest.update(path.read_bytes())
    digest.update(f"{numba.__version__} {sys.version} {get_host_cpu_name()}".encode())
    folder = Path(os.environ.get("NUMBA_CACHE_DIR", FOLDER / "__pycache__"))
    return folder / f"kernels-{digest.hexdigest()[:16]}.ready"


def render_and_differentiate() -> None:
    """One small image through every kernel, forward and backward."""
    import torch

    from segmentdreamer.rasterizer import rasterization

    g = torch.Generator().manual_seed(0)
    means = (0.3 * torch.randn(8, 3, generator=g)).requires_grad_()
    quats = torch.randn(8, 4, generator=g, requires_grad=True)
    scales = torch.full((8, 3), 0.1, requires_grad=True)
    opacities = torch.full((8,), 0.5, requires_grad=True)
    colors = torch.rand(8, 3, generator=g).requires_grad_()
    viewmats = torch.eye(4)[None].clone()
    viewmats[0, 2, 3] = 3.0
    Ks = torch.tensor([[[16.0, 0, 8], [0, 16, 8], [0, 0, 1]]])
    for mode in ("RGB", "RGB+D"):
        image, alpha, _ = rasterization(
            means, quats, scales, opacities, colors, viewmats, Ks, 16, 16, render_mode=mode
        )
        (image.sum() + alpha.sum()).backward()


if __name__ == "__main__":
    render_and_differentiate()
