"""A benchmark of score distillation for text-to-3D; `from segmentdreamer import generate` makes an asset."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from segmentdreamer.generate import generate as generate

if not (Path(__file__).parent / "eval").is_dir():  # in a clone, eval and baselines stand beside this folder
    __path__.append(str(Path(__file__).parents[1]))


def __getattr__(name: str) -> ModuleType:
    """`generate`, imported when it is asked for: it can be called, and run as a module."""
    if name == "generate":
        return import_module("segmentdreamer.generate")
    raise AttributeError(f"module 'segmentdreamer' has no attribute {name!r}")
