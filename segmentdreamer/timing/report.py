"""The page of a step benchmark: measured steps beside their arithmetic and the paper's minutes."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from segmentdreamer.methods import REGISTRY
from segmentdreamer.recipe.settings import read_yaml
from segmentdreamer.timing.flops import Work

REFERENCE = "sctd"  # the method whose step the others are compared with

COLUMNS = (
    "method", "guidance", "NFE", "step, ms", "mean, ms", "floor, ms", "of matrix rate", "UNet, ms", "VAE, ms",
    "rasterizer, ms", "rest, ms", "waits", "peak, GiB", "minutes a run", "/ SCTD", "FLOP / SCTD",
    "NFE / SCTD",
)  # fmt: skip
PAPER_COLUMN = "paper, min"  # stands beside its own scale alone
NOTES = """\
Step: the median; mean: the mean, from which the minutes follow; steps follow one another without a wait.
Floor: the counted operations at the matrix rate. The split is of other steps, which wait for the device
wherever a part ends. Waits: how often a step makes the host wait for the device. Peak: held in reserve by
this method alone, recordings and warm-up included.
Ratios to SCTD: of means, of counted operations and of NFE, under the same guidance."""
PAPER_NOTE = """\
Paper: minutes on one A100; of the methods other than SCTD it does not say whether under Perp-Neg."""


@dataclass(frozen=True)
class Measurement:
    """One method under one guidance; all figures but `seconds` and `minutes` are of one step, on average."""

    method: str
    guidance: str
    seconds: tuple[float, ...]  # of every timed step
    batch: int  # views a step
    nfe: float  # evaluations of the UNet, a view
    flops: float | None  # counted, of a pipeline folder's networks
    parts: dict[str, float]  # seconds, of steps that wait for the device wherever a part ends
    waits: int | None  # times that the host waited for the device; None on a CPU
    peak_mib: float
    minutes: float  # of a whole run at the timed steps' mean

    @property
    def mean(self) -> float:
        """Seconds."""
        return statistics.fmean(self.seconds)


@dataclass(frozen=True)
class Report:
    """All that a benchmark found."""

    scale: str
    weights: str  # "random", or the prior's folder or class
    prior: dict[str, Any]  # its configuration
    machine: dict[str, Any]
    versions: dict[str, str]
    network_type: str
    matrix_rate: float  # FLOP/s
    work: Work | None
    rows: list[Measurement] = field(default_factory=list)
    views_seconds: float | None = None  # of rendering the evaluation views of one asset


def write_table(report: Report) -> str:
    """The report as Markdown."""
    machine = report.machine
    device = machine.get("gpu") or f"{machine['cpus']} CPUs"
    columns = COLUMNS + (PAPER_COLUMN,) * in_paper(report)
    lines = [
        f"# Step benchmark: scale `{report.scale}`, weights: {report.weights}",
        "",
        f"{device}; torch {report.versions['torch']}; networks in {report.network_type}, "
        f"{report.matrix_rate / 1e12:.3g} TFLOP/s in large matrix products of that type.",
        "",
        describe_work(report.work),
        "",
        line(columns),
        line(["---"] * 2 + ["---:"] * (len(columns) - 2)),
        *(line(cells(row, report)) for row in report.rows),
        "",
        NOTES,
        *[PAPER_NOTE] * in_paper(report),
    ]
    if report.views_seconds is not None:
        lines += ["", f"Rendering the evaluation views of one asset: {report.views_seconds:.3g} s."]
    return "\n".join(lines) + "\n"


def describe_work(work: Work | None) -> str:
    if work is None:
        return "The operations of a prior of one's own are not counted: it has no floor."
    encode = f"encode {work.encode / 1e12:.3g} + {work.encode_backward / 1e12:.3g} backward"
    return f"A view: UNet {work.unet / 1e12:.3g}, {encode}, decode {work.decode / 1e12:.3g} TFLOP."


def in_paper(report: Report) -> bool:
    return report.scale == "paper"


def line(values: Sequence[str]) -> str:
    return f"| {' | '.join(values)} |"


def cells(row: Measurement, report: Report) -> list[str]:
    """One line of the table."""
    floor = row.flops and row.flops / report.matrix_rate
    reference = next((r for r in report.rows if (r.method, r.guidance) == (REFERENCE, row.guidance)), None)
    ratios = [
        f"{mine / getattr(reference, name):.2f}" if reference and (mine := getattr(row, name)) else ""
        for name in ("mean", "flops", "nfe")
    ]
    return [
        row.method, row.guidance, f"{row.nfe:.2f}", f"{1e3 * statistics.median(row.seconds):.1f}",
        f"{1e3 * row.mean:.1f}", f"{1e3 * floor:.1f}" if floor else "",
        f"{floor / row.mean:.0%}" if floor else "",
        *(f"{1e3 * row.parts[part]:.1f}" for part in ("unet", "vae", "rasterizer", "rest")),
        "" if row.waits is None else str(row.waits), f"{row.peak_mib / 1024:.2f}", f"{row.minutes:.1f}",
        *ratios, *[paper_minutes(row.method, row.guidance)] * in_paper(report),
    ]  # fmt: skip


def paper_minutes(method: str, guidance: str) -> str:
    """What the paper's Table 1, or for plain guidance its text, says of a method; empty if nothing."""
    entry = read_yaml(REGISTRY.with_name("paper.yaml")).get(method, {})
    published = entry.get("minutes", "")
    return str(entry.get("minutes_cfg", published) if guidance == "cfg" else published)
