"""Where the time of a run goes: named parts, added up."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class Stopwatch:
    """Adds up seconds by part, without those of parts inside; waits for CUDA only if `synchronize`."""

    def __init__(self, synchronize: bool = False):
        self.seconds: dict[str, float] = defaultdict(float)
        self.synchronize = synchronize and torch.cuda.is_available()
        self._inner = [0.0]  # seconds spent in the parts inside each open part

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        began = self._now()
        self._inner.append(0.0)
        try:
            yield
        finally:
            elapsed = self._now() - began
            self.seconds[name] += elapsed - self._inner.pop()
            self._inner[-1] += elapsed

    def _now(self) -> float:
        if self.synchronize:
            torch.cuda.synchronize()
        return time.perf_counter()

    def table(self, total: float) -> str:
        """One line a part, largest first, with its share of `total` seconds."""
        parts = sorted(self.seconds.items(), key=lambda item: -item[1])
        rest = total - sum(self.seconds.values())
        lines = [f"{name:<20} {s:8.2f} s {s / total:6.1%}" for name, s in [*parts, ("unnamed", rest)]]
        return "\n".join([*lines, f"{'total':<20} {total:8.2f} s"])
