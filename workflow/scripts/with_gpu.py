#!/usr/bin/env python3
"""Run a command on a GPU that no other job of this machine holds.

    python workflow/scripts/with_gpu.py COMMAND ...

Takes a lock on the first free device (files under the temporary folder), waits while all are taken, and
becomes the command, which sees that device alone. The lock is the command's own: it lasts as long as the
command and what it has started, however they end. Where no device is visible, or a scheduler assigned just
one, the command runs as it is. GPU_SLOTS jobs share a device (1; the workflow's setting gpu_share).
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

WAIT = 1.0  # seconds between two rounds over the devices
NAME = re.compile(r"\d+|(MIG-)?GPU-[0-9a-f-]+(/\d+/\d+)?|MIG-[0-9a-f-]+", re.I)  # MIG's old form has slashes


def visible_devices() -> list[str]:
    """Names of the devices that this process may use, as CUDA reads CUDA_VISIBLE_DEVICES.

    An entry that names none (-1, nothing, a word) ends the list. Without the variable: all that there are.
    """
    shown = os.environ.get("CUDA_VISIBLE_DEVICES")
    if shown is None:
        return present_devices()
    found: list[str] = []
    for name in map(str.strip, shown.split(",")):
        if not NAME.fullmatch(name):
            break
        found.append(name)
    return list(dict.fromkeys(found))


def present_devices() -> list[str]:
    """The machine's GPUs by number; of one that is split, its MIG devices by name."""
    if shutil.which("nvidia-smi") is None:
        return []
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    found: list[str] = []
    for line in listed.stdout.splitlines() if listed.returncode == 0 else []:
        if whole := re.match(r"GPU (\d+): ", line):
            found.append(whole[1])
        elif part := re.match(r"\s+MIG .*\(UUID: (MIG-\S+)\)$", line):
            if found[-1].isdecimal():
                found.pop()  # CUDA shows its parts, not the whole
            found.append(part[1])
    return found


def acquire(devices: list[str], slots: int, job: str = "") -> tuple[str, int]:
    """A device and the descriptor of the locked file that stands for it; waits until one is free.

    job: a scheduler's, which numbers the devices of each of its jobs from 0.
    """
    folder = Path(tempfile.gettempdir()) / "-".join(filter(None, (f"gpu-locks-{os.getuid()}", job)))
    folder.mkdir(mode=0o700, exist_ok=True)
    while True:
        for slot in range(slots):
            for device in devices:
                name = folder / f"{device.replace('/', '_')}.{slot}"
                descriptor = os.open(name, os.O_RDWR | os.O_CREAT, 0o600)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return device, descriptor
                except BlockingIOError:
                    os.close(descriptor)
        time.sleep(WAIT)


def slots_of(environment: Mapping[str, str]) -> int:
    """How many jobs may share a device."""
    asked = environment.get("GPU_SLOTS", "1")
    if not asked.isdecimal() or int(asked) < 1:
        sys.exit(f"error: GPU_SLOTS is a number of jobs, not {asked!r}")
    return int(asked)


def main() -> int:
    command = sys.argv[1:]
    if not command or command[0] in ("-h", "--help"):
        print(__doc__)
        return 0 if command else 2
    job, slots = os.environ.get("SLURM_JOB_ID", ""), slots_of(os.environ)
    assigned = not job or "CUDA_VISIBLE_DEVICES" in os.environ
    devices = visible_devices() if assigned else []
    if devices and not (job and len(devices) == 1):
        os.environ["CUDA_VISIBLE_DEVICES"], lock = acquire(devices, slots, job)
        os.set_inheritable(lock, True)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.exit(f"error: {command[0]} cannot be run: {error.strerror}")


if __name__ == "__main__":
    sys.exit(main())
