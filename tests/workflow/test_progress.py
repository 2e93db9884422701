"""What the terminal shows of a run: a few lines, whatever goes wrong, and nothing of its own when asked."""

from __future__ import annotations

import io
import logging
import os
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from progress import Progress, follow, written
from snakemake_interface_logger_plugins.common import LogEvent


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Run:
    """Events as Snakemake sends them, through a filter on a handler, at times that a test says."""

    def __init__(self, results: Path, stream: io.StringIO, jobs: dict[str, int]) -> None:
        self.now, self.stream = 0.0, stream
        self.logger, handler = logging.Logger("run"), logging.StreamHandler(stream)
        handler.addFilter(Progress(str(results), 2, stream, lambda: self.now))
        self.logger.addHandler(handler)
        self.total, self.done = sum(jobs.values()), 0
        self.send(LogEvent.WORKFLOW_STARTED)
        self.send(LogEvent.RUN_INFO, "Job stats: a long table", stats={**jobs, "total": self.total})

    def send(self, event: LogEvent | None, text: str = "", level: int = logging.INFO, **more: object) -> None:
        self.logger.log(level, text, extra={"event": event, **more})

    def start(self, number: int, rule: str, **wildcards: str) -> None:
        self.send(
            LogEvent.JOB_INFO, "inputs, outputs, reasons", jobid=number, rule_name=rule, wildcards=wildcards
        )

    def finish(self, number: int) -> None:
        self.done += 1
        self.send(LogEvent.JOB_FINISHED, "Finished jobid", job_id=number)
        self.send(LogEvent.PROGRESS, done=self.done, total=self.total)


def test_a_line_tells_what_is_done_the_time_left_what_runs_and_the_newest_picture(tmp_path: Path) -> None:
    run = Run(tmp_path, io.StringIO(), {"generate_1": 2, "generate_2": 2, "views": 2, "table1": 1})
    for age, name in ((20, "p01"), (10, "p02")):
        (sheet := tmp_path / "views/sds" / name / "0/sheet.webp").parent.mkdir(parents=True)
        sheet.touch()
        os.utime(sheet, (1e9 - age, 1e9 - age))
    run.start(0, "generate_1", method="sds", seed="0")
    run.start(1, "generate_2", method="sctd", seed="0")
    run.now = 100.0
    run.finish(0)
    (line,) = run.stream.getvalue().splitlines()
    # Left: three optimizations of 100 s, one of them all but done, two renderings and a table of 10 s.
    newest = f"{tmp_path}/views/sds/p02/0/sheet.webp"
    assert line == f"1 of 7 jobs | about 1:55 min left | optimizing sctd | {newest}"


def test_lines_are_few_however_many_jobs_there_are(tmp_path: Path) -> None:
    run = Run(tmp_path, io.StringIO(), {"scores": 2000})
    for number in range(2000):
        run.start(number, "scores", method="sds")
        run.now += 10.0
        run.finish(number)
    lines = run.stream.getvalue().splitlines()
    assert len(lines) < 400 and lines[-1] == "2000 of 2000 jobs | 5:33:20 h in all"


def test_on_a_terminal_the_line_is_rewritten_and_kept_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    run = Run(tmp_path, Terminal(), {"scores": 2})
    for number in (0, 1):
        run.start(number, "scores", method="sds/a_long_variant~of_a_method")
        run.finish(number)
    text = run.stream.getvalue()
    assert text.count("\n") == 1 and text.endswith("2 of 2 jobs | 0:00 min in all\n")
    assert all(len(line) <= 39 for line in re.split(r"\r\033\[K|\n", text))


def test_errors_pass_and_so_does_what_comes_before_a_run(tmp_path: Path) -> None:
    run = Run(tmp_path, io.StringIO(), {"scores": 1})
    run.send(LogEvent.JOB_ERROR, "Error in rule scores, log: r/logs/scores.log", logging.ERROR, jobid=0)
    run.send(None, "Select jobs to execute...")
    run.send(None, "something odd", logging.WARNING)
    run.send(None, "Complete log(s): there")
    assert run.stream.getvalue().splitlines() == [
        "Error in rule scores, log: r/logs/scores.log",
        "something odd",
        "Complete log(s): there",
    ]


@pytest.mark.parametrize("asked", ["dryrun", "printshellcmds", "verbose", "quiet", ""])
def test_snakemakes_own_display_comes_back_when_it_is_asked_for(asked: str, tmp_path: Path) -> None:
    options = dict.fromkeys(("dryrun", "printshellcmds", "verbose", "quiet"), False)
    logger, handler = logging.Logger("run"), logging.StreamHandler(io.StringIO())
    handler.name = "DefaultStreamHandler"
    logger.addHandler(handler)
    follow(logger, SimpleNamespace(**(options | {asked: True})), str(tmp_path), 2)
    assert bool(handler.filters) == (not asked)


def test_times_are_written_as_people_read_them() -> None:
    assert [written(s) for s in (-3, 59.6, 3599, 3600)] == ["0:00 min", "1:00 min", "59:59 min", "1:00:00 h"]
