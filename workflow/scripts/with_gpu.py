#!/usr/bin/env python3
"""Run a command on a GPU that no other job of this machine holds.

    python workflow/scripts/with_gpu.py COMMAND ...

Takes a lock on the first free device (files under the temporary folder, released when the command ends,
however it ends), waits while all are taken, and shows the command that device alone. Where a scheduler has
assigned devices already (a Slurm job), or none is visible, the command runs as it is. Two jobs share a
device only if asked: GPU_SLOTS=2.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TextIO

WAIT = 1.0  # seconds between two rounds over the devices


def visible_devices() -> list[str]:
    """Names of the devices that this process may use, as CUDA_VISIBLE_DEVICES writes them."""
    shown = os.environ.get("CUDA_VISIBLE_DEVICES")
    if shown is not None:
        return [name for name in shown.split(",") if name]
    if shutil.which("nvidia-smi") is None:
        return []
    query = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    listed = subprocess.run(query, capture_output=True, text=True, check=False)
    return listed.stdout.split() if listed.returncode == 0 else []


def acquire(devices: list[str], slots: int) -> tuple[str, TextIO]:
    """A device and the open, locked file that stands for it; waits until one is free."""
    folder = Path(tempfile.gettempdir()) / f"gpu-locks-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    while True:
        for slot in range(slots):
            for device in devices:
                stream = (folder / f"{device}.{slot}").open("w")
                try:
                    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return device, stream
                except BlockingIOError:
                    stream.close()
        time.sleep(WAIT)


def main() -> int:
    command = sys.argv[1:]
    if not command or command[0] in ("-h", "--help"):
        print(__doc__)
        return 0 if command else 2
    devices = visible_devices()
    if not devices or "SLURM_JOB_ID" in os.environ:  # it numbers each job's devices from 0
        os.execvp(command[0], command)
    device, stream = acquire(devices, int(os.environ.get("GPU_SLOTS", "1")))
    with stream:
        environment = os.environ | {"CUDA_VISIBLE_DEVICES": device}
        return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
