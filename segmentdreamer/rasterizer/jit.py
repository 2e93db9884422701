"""How the numba kernels are compiled: once, in a process of their own, so that every run reads the same code.

Code that numba compiled in this very process and the same code read back from its cache round
differently in the last bit: otherwise the first run on a machine would not repeat.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import njit

from segmentdreamer.records import folder_digest, run_key

FOLDER = Path(__file__).parent
RUNNING = "SEGMENTDREAMER_COMPILING"  # set in the compiling process, which must not start another
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


def ensure_compiled() -> None:
    """Fill numba's cache unless that was done for these sources; a marker beside it remembers."""
    if RUNNING in os.environ or (marker := marker_path()).exists():
        return
    paths = os.pathsep.join(filter(None, [str(FOLDER.parent.parent), os.environ.get("PYTHONPATH", "")]))
    environment = os.environ | {RUNNING: "1", "PYTHONPATH": paths}
    subprocess.run([sys.executable, "-m", "segmentdreamer.rasterizer"], env=environment, check=True)
    try:
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.touch()
    except OSError:  # no writable folder: numba keeps its cache elsewhere, and this is run again
        pass


def marker_path() -> Path:
    """Named after the sources, Python and the processor, as numba's own cache entries are."""
    import numba
    from llvmlite.binding import get_host_cpu_name

    sources = folder_digest(FOLDER, FOLDER.glob("*.py"))
    key = run_key(sources, numba.__version__, sys.version, get_host_cpu_name())
    return Path(os.environ.get("NUMBA_CACHE_DIR", FOLDER / "__pycache__")) / f"kernels-{key}.ready"
