"""`python -m segmentdreamer.rasterizer`: every CPU kernel once, so that all are compiled (see jit)."""

import torch

from segmentdreamer.rasterizer import rasterization


def render_and_differentiate() -> None:
    """One small image through every kernel, forward and backward."""
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
