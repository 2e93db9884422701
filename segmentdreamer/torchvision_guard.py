"""Makes torchvision importable beside a CPU build of torch; import this before anything that uses it.

The published torchvision wheel links CUDA libraries. Beside a CPU torch its operators cannot load, and
then `import torchvision` fails, which takes diffusers, transformers, open_clip and torchmetrics down.
Declaring the two missing operator schemas is enough for the parts that we use; where the wheel's
library loads (a CUDA build), nothing is done.
"""

import importlib.util
from contextlib import suppress
from pathlib import Path

import torch

_library: torch.library.Library | None = None  # operators live as long as this reference


def install() -> None:
    """Declare `torchvision::nms` and `torchvision::qnms` unless torchvision's own library loads."""
    global _library
    spec = importlib.util.find_spec("torchvision")
    if _library is not None or spec is None or spec.origin is None:
        return
    for path in Path(spec.origin).parent.glob("_C*.so"):
        with suppress(OSError):
            torch.ops.load_library(str(path))
            return
    _library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        _library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


install()
