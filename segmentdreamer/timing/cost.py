"""What the steps of a run cost: time, work asked of the networks, and how busy others kept the machine."""

from __future__ import annotations

import resource
import time
from dataclasses import astuple, dataclass
from typing import Any

import psutil

# Cores. Another job that computes takes about one; the meters err by less than .003 over 8 s (measured: ours,
# others' and idle time against all there was), and a machine's own daemons took .01.
ALONE = 0.1


@dataclass(frozen=True)
class Cost:
    """Sums over the steps of a run and all its resumes; or readings, of which they are differences.

    others_seconds: CPU seconds of every other process of this machine meanwhile (a container may see those of
    its host). What others did to a GPU is not seen.
    """

    seconds: float = 0.0  # by the clock on the wall
    cpu_seconds: float = 0.0  # of this process, user and system, all threads
    others_seconds: float = 0.0
    nfe: int = 0  # evaluations of the UNet, in rows
    unet_backwards: int = 0  # rows that a gradient passed
    encodes: int = 0  # pictures, each with its gradient
    decodes: int = 0  # pictures

    def __add__(self, other: Cost) -> Cost:
        return Cost(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def __sub__(self, other: Cost) -> Cost:
        return Cost(*(a - b for a, b in zip(astuple(self), astuple(other), strict=True)))

    @property
    def others_cores(self) -> float | None:
        """How many cores others kept busy, on average; None where the system's count leaves out even ours."""
        mean = self.others_seconds / self.seconds if self.seconds else 0.0
        return None if mean < -ALONE else max(0.0, mean)

    @property
    def alone(self) -> bool:
        """Whether times by the clock may be compared: as far as is known, nobody else computed here."""
        return self.others_cores is not None and self.others_cores < ALONE


def read_meters(prior: Any) -> Cost:
    """All meters now; the counts are those of the prior (segmentdreamer.prior.diffusers_prior)."""
    times = psutil.cpu_times()._asdict()
    idle = sum(times.get(name, 0.0) for name in ("idle", "iowait", "guest", "guest_nice"))  # user has guest
    children = resource.getrusage(resource.RUSAGE_CHILDREN)  # those that have ended
    own = time.process_time()
    others = sum(times.values()) - idle - own - children.ru_utime - children.ru_stime
    return Cost(
        time.perf_counter(), own, others, prior.nfe, prior.differentiated, prior.encoded, prior.decoded
    )
