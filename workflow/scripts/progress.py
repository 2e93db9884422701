"""What the terminal shows of a run: one line with what is done, the time left, and the newest picture.

A filter on Snakemake's own terminal handler: warnings and errors pass, of the rest the events are read. All
of it stands in Snakemake's log, below .snakemake/log; with -p, --verbose or --quiet the terminal is as usual.
"""

from __future__ import annotations

import logging
import re
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from snakemake_interface_logger_plugins.common import LogEvent

# What a rule does, and how long a job of it takes beside an optimization's, until some were timed.
STAGES = {
    "generate": ("optimizing", 1.0),
    "reference_shard": ("drawing the reference set", 0.6),
    "prior_views": ("drawing from the prior", 0.6),
    "theory": ("measuring theorem 1", 0.6),
    "scores": ("scoring", 0.25),
    "views": ("rendering", 0.1),
    "table1": ("comparing", 0.1),
}
BRIEF = 0.03  # of all other rules
EVERY = 5.0  # seconds between two looks, where the line is rewritten
LINES = 15.0  # seconds between two lines, where it is not; after 25 minutes a hundredth of what has passed
PASSING = ("Nothing to be done", "Complete log")


class Progress(logging.Filter):
    """Lets pass what is wrong, and shows how far the run is, on the handler's own stream."""

    def __init__(
        self, results: str, cores: int, stream: TextIO, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self.results, self.cores, self.stream, self.clock = Path(results), max(1, cores), stream, clock
        self.left: dict[str, int] = {}  # jobs by rule, not finished
        self.running: dict[int, tuple[str, str, float]] = {}  # by id: rule, method, start
        self.weight = self.seconds = 0.0  # of those that are done
        self.done, self.total, self.began, self.shown = 0, 0, 0.0, float("-inf")
        self.started, self.lock = False, threading.RLock()

    def filter(self, record: logging.LogRecord) -> bool:
        event = getattr(record, "event", None)
        with self.lock:
            if event == LogEvent.WORKFLOW_STARTED:
                self.started, self.began = True, self.clock()
            if not self.started or record.levelno > logging.INFO:
                self.clear()
                return True
            self.read(event, record.__dict__)
        return record.getMessage().startswith(PASSING)

    def read(self, event: LogEvent | None, about: dict[str, Any]) -> None:
        """Take up what an event tells, and show it."""
        if event == LogEvent.RUN_INFO and not self.left:
            self.total = about["stats"]["total"]
            self.left = {rule: n for rule, n in about["stats"].items() if rule != "total"}
            if self.stream.isatty():
                threading.Thread(target=self.tick, daemon=True).start()
        elif event == LogEvent.JOB_INFO:
            method = (about["wildcards"] or {}).get("method", "")
            self.running[about["jobid"]] = about["rule_name"], method, self.clock()
        elif event == LogEvent.JOB_FINISHED and about["job_id"] in self.running:
            rule, _, start = self.running.pop(about["job_id"])
            self.left[rule] = self.left.get(rule, 1) - 1
            self.weight, self.seconds = self.weight + weight(rule), self.seconds + self.clock() - start
        elif event in (LogEvent.JOB_ERROR, LogEvent.GROUP_ERROR):
            self.running.pop(about.get("jobid", -1), None)
        elif event == LogEvent.PROGRESS:
            self.done, self.total = about["done"], about["total"]
            self.show()

    def tick(self) -> None:
        while self.done < self.total:
            time.sleep(EVERY)
            with self.lock:
                self.show()

    def show(self) -> None:
        """Rewrite the line on a terminal; elsewhere write one now and then, and the last."""
        now = self.clock()
        if self.stream.isatty():
            columns = shutil.get_terminal_size().columns
            self.stream.write(f"\r\033[K{self.line()[: columns - 1]}" + "\n" * (self.done == self.total))
        elif self.done == self.total or now - self.shown >= max(LINES, (now - self.began) / 100):
            self.shown = now
            self.stream.write(f"{self.line()}\n")
        self.stream.flush()

    def clear(self) -> None:
        if self.started and self.stream.isatty():
            self.stream.write("\r\033[K")

    def line(self) -> str:
        doing = dict.fromkeys(f"{stage(rule)} {method}".strip() for rule, method, _ in self.running.values())
        parts = [f"{self.done} of {self.total} jobs", self.time_left(), ", ".join(doing), self.newest()]
        return " | ".join(filter(None, parts))

    def time_left(self) -> str:
        """By the time that jobs took so far, of each rule its share; at the end, what it took in all."""
        now = self.clock()
        if self.done == self.total or not self.weight:
            return f"{written(now - self.began)} in all" if self.done == self.total else ""
        unit = self.seconds / self.weight
        ahead = sum(n * weight(rule) * unit for rule, n in self.left.items())
        ahead -= sum(min(now - start, weight(rule) * unit) for rule, _, start in self.running.values())
        return f"about {written(ahead / self.cores)} left"

    def newest(self) -> str:
        """The contact sheet that was written last."""
        sheets = [(path.stat().st_mtime, path) for path in self.results.glob("views/**/sheet.webp")]
        return str(max(sheets)[1]) if sheets else ""


def base(rule: str) -> str:
    """A rule's name without what tells apart those that share the prompts out, generate_variant_2."""
    return re.sub(r"(_variant)?(_\d+)?$", "", rule)


def stage(rule: str) -> str:
    return STAGES.get(base(rule), (base(rule).replace("_", " "), 0))[0]


def weight(rule: str) -> float:
    return STAGES.get(base(rule), ("", BRIEF))[1]


def written(seconds: float) -> str:
    """As 2:05 minutes or 1:02:05 hours."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02} h" if hours else f"{minutes}:{rest:02} min"


def follow(logger: logging.Logger, settings: Any, results: str, cores: int) -> None:
    """Show the run so, unless the command line asks for what Snakemake shows (`settings`, its own)."""
    if settings.dryrun or settings.printshellcmds or settings.verbose or settings.quiet:
        return
    for handler in logger.handlers:
        if isinstance(handler, logging.StreamHandler) and handler.name == "DefaultStreamHandler":
            handler.addFilter(Progress(results, cores, handler.stream))
