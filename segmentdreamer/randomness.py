"""Random numbers without state: every draw belongs to (seed, stream, number) and to nothing else.

So a killed and resumed run draws exactly what a straight run does, and adding a draw in one place
never shifts another. Generators live on the CPU; `place` and `send` bring draws to a device, without making
the host wait.
"""

import hashlib

import torch
from torch import Tensor


def derive_seed(*names: str | int) -> int:
    """A 63-bit seed from the names of what is drawn; the same on every machine."""
    text = "\0".join(str(name) for name in names)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, stream: str, number: int = 0) -> torch.Generator:
    """A CPU generator for draw `number` (usually the step) of a named stream."""
    return torch.Generator().manual_seed(derive_seed(seed, stream, number))


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
