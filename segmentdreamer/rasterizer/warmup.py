"""Compile the kernels once, in a process of their own, so that every run uses the cached machine code.

Code that numba compiled in this very process and the same code read back from its cache round
differently in the last bit: without this, the first run on a machine would not repeat.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from segmentdreamer.records import folder_digest, run_key

FOLDER = Path(__file__).parent
RUNNING = "SEGMENTDREAMER_COMPILING"  # set in the compiling process, which must not start another


def ensure_compiled() -> None:
    """Fill numba's cache unless that was done for these sources; a marker beside it remembers."""
    if RUNNING in os.environ:
        return
    marker = marker_path()
    if marker.exists():
        return
    root = str(FOLDER.parent.parent)
    paths = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
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

    key = run_key(
        folder_digest(FOLDER, FOLDER.glob("*.py")), numba.__version__, sys.version, get_host_cpu_name()
    )
    folder = Path(os.environ.get("NUMBA_CACHE_DIR", FOLDER / "__pycache__"))
    return folder / f"kernels-{key}.ready"
