"""Views, scores, statistics and tables. From Python: `from eval import score_views, load_run`."""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .python import score_views as score_views
    from .run import load_run as load_run

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch: its threads must not spin

HOMES = {"load_run": ".run", "score_views": ".python"}


def __getattr__(name: str) -> Any:
    """What is offered here is loaded when it is asked for: torch is not needed to read a run."""
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(HOMES[name], __name__), name)
