"""How the numba kernels are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit

# Sums may be reordered, which is what lets LLVM vectorise them. The flags that would assume no
# NaN and no infinity are left out: degenerate Gaussians are caught by comparing against both.
OPTIONS: dict[str, Any] = {
    "fastmath": {"reassoc", "contract", "nsz", "arcp"},
    "error_model": "numpy",
    "nogil": True,
}


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile on first call, and cache on disk where some folder can be written.

    numba rebuilds a cached kernel when its own file changes, not when an imported constant or
    helper does: after such a change, delete this package's __pycache__.
    """
    try:
        return njit(cache=True, **OPTIONS)(function)
    except RuntimeError:  # numba found no writable cache folder
        return njit(**OPTIONS)(function)
