"""From the CPU, where all random numbers are drawn, to the device, without making the host wait."""

import torch
from torch import Tensor


def place(x: Tensor, like: Tensor) -> Tensor:
    """x in the type and on the device of `like`."""
    return send(x.to(like.dtype), like.device)


def send(x: Tensor, device: torch.device | str) -> Tensor:
    """x on a device.

    To CUDA it goes by way of page-locked memory: a plain copy waits until the device has done all that it
    was given before, so that it then stands idle until the host has caught up.
    """
    device = torch.device(device)
    if device.type == "cuda" and not x.is_cuda:
        return x.pin_memory().to(device, non_blocking=True)
    return x.to(device)
