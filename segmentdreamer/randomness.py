"""Random numbers without state: every draw belongs to (seed, stream, number) and to nothing else.

So a killed and resumed run draws exactly what a straight run does, and adding a draw in one place
never shifts another. Generators live on the CPU, which also spares CUDA a synchronization.
"""

import hashlib

import torch


def derive_seed(*names: str | int) -> int:
    """A 63-bit seed from the names of what is drawn; the same on every machine."""
    text = "\0".join(str(name) for name in names)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, stream: str, number: int = 0) -> torch.Generator:
    """A CPU generator for draw `number` (usually the step) of a named stream."""
    return torch.Generator().manual_seed(derive_seed(seed, stream, number))
