"""From the CPU, where all random numbers are drawn, to the device, without making the host wait."""

from __future__ import annotations

from torch import Tensor


def place(x: Tensor, like: Tensor) -> Tensor:
    """x in the type and on the device of `like`.

    To CUDA it goes by way of page-locked memory: a plain copy waits until the device has done all that it
    was given before, so that it then stands idle until the host has caught up.
    """
    if like.is_cuda and not x.is_cuda:
        return x.to(like.dtype).pin_memory().to(like.device, non_blocking=True)
    return x.to(like)
