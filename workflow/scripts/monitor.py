"""A command, and what each program that it starts takes: seconds and peak memory."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

INTERVAL = 0.2  # seconds between two looks


@dataclass
class Job:
    """One program: `python -m MODULE ...`."""

    name: str
    began: float
    ended: float
    peak: int = 0  # bytes, resident, of the program and its children together

    @property
    def seconds(self) -> float:
        return self.ended - self.began


def run_watched(
    command: Sequence[str], cwd: Path, environment: Mapping[str, str], log: Path
) -> tuple[int, list[Job]]:
    """Run a command, its output into `log`; the exit status and the programs that it ran, in their order."""
    jobs: dict[int, Job] = {}
    with log.open("w") as stream:
        process = subprocess.Popen(command, cwd=cwd, env=dict(environment), stdout=stream, stderr=stream)
        done = threading.Event()
        watcher = threading.Thread(target=watch, args=(process.pid, jobs, done), daemon=True)
        watcher.start()
        try:
            status = process.wait()
        finally:
            done.set()
            watcher.join()
    return status, list(jobs.values())


def watch(root: int, jobs: dict[int, Job], done: threading.Event) -> None:
    """Look at the processes below `root` until `done`, and note each `python -m` among them in `jobs`."""
    try:
        parent = psutil.Process(root)
    except psutil.NoSuchProcess:
        return
    while not done.wait(INTERVAL):
        try:
            children = parent.children(recursive=True)
        except psutil.NoSuchProcess:
            return
        for process in children:
            note(process, jobs)


def note(process: psutil.Process, jobs: dict[int, Job]) -> None:
    """Update the entry of a process that is a program of its own."""
    try:
        name = program(process.cmdline())
        if not name:
            return
        family = [process, *process.children(recursive=True)]
        memory = sum(member.memory_info().rss for member in family)
    except psutil.Error:  # it has ended in between
        return
    job = jobs.setdefault(process.pid, Job(name, time.monotonic(), time.monotonic()))
    job.ended, job.peak = time.monotonic(), max(job.peak, memory)


def program(arguments: Sequence[str]) -> str:
    """`segmentdreamer.generate sctd p01` of the command line of a program; empty for any other process."""
    if len(arguments) < 3 or "python" not in Path(arguments[0]).name or arguments[1] != "-m":
        return ""
    if arguments[2] == "snakemake":
        return ""
    told = [arguments[2]]
    for option in ("--method", "--prompt-id", "--shard"):
        if option in arguments[:-1]:
            told.append(arguments[arguments.index(option) + 1])
    return " ".join(told)
