"""How each part of the networks runs on a device: layout, attention, graphs, compiler."""

import os
import shutil
import sys
import sysconfig
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch

from segmentdreamer.prior.options import NetworkOptions


@dataclass(frozen=True)
class Arrangement:
    """How each part runs."""

    unet_layout: torch.memory_format
    vae_layout: torch.memory_format  # where channels lie last, its group norms are `norms.ChannelNorm`
    plain: tuple[str, ...]  # the parts whose attention is plain: of "unet", "encoder" and "decoder"
    graphs: bool
    compiled: bool


def arrange(options: NetworkOptions, device: str) -> Arrangement:
    """What was measured to be the fastest (docs/performance.md), wherever the options leave the choice.

    The encoder's one head of 512 channels has a slow fused backward. Channels last gains when compiled, and
    loses without; the autoencoder's takes a GiB more, so it has to be asked for.
    """
    cuda = torch.device(device).type == "cuda"
    compiled = cuda and can_compile() if options.compile is None else options.compile
    last = cuda and compiled if options.channels_last is None else options.channels_last
    plain: tuple[str, ...] = ("encoder",) if cuda and options.attention is None else ()
    layouts = {False: torch.contiguous_format, True: torch.channels_last}
    return Arrangement(
        layouts[last],
        layouts[compiled and bool(options.channels_last)],
        ("unet", "encoder", "decoder") if options.attention == "plain" else plain,
        cuda and options.graphs,
        compiled,
    )


def can_compile() -> bool:
    """Whether torch.compile finds what it needs for a GPU; says in a line what is missing."""
    compilers = (os.environ.get("CC"), "cc", "gcc", "clang")
    needs = {
        "a C compiler (gcc)": any(name and shutil.which(name) for name in compilers),
        "Python's headers (python3-dev)": (Path(sysconfig.get_path("include")) / "Python.h").exists(),
        "the package triton": find_spec("triton") is not None,
    }
    if missing := [name for name, found in needs.items() if not found]:
        print(
            f"without {', '.join(missing)} the networks are not compiled, and a step takes 1.4 times as long",
            file=sys.stderr,
        )
    return not missing
