"""The comparison of smoke runs: rounding passes, a moved value does not."""

from __future__ import annotations

import importlib.util

import pandas as pd
import pytest
from dry_runs import ROOT

spec = importlib.util.spec_from_file_location("smoke_compare", ROOT / "tests/smoke/compare.py")
assert spec is not None and spec.loader is not None
compare = importlib.util.module_from_spec(spec)
spec.loader.exec_module(compare)

EXPECTED = pd.DataFrame(
    [("sds", "p01", "clip", 80.0), ("sds", "p01", "clip_r", 0.5), ("sds", "p01", "seconds", 9.0)],
    columns=["method", "prompt", "metric", "value"],
)


@pytest.mark.parametrize(
    ("values", "lines"),
    [
        ([80.0, 0.5, 90.0], 0),  # costs may differ
        ([83.0, 0.625, 9.0], 0),
        ([85.0, 0.5, 9.0], 1),
        ([80.0, 0.75, 9.0], 1),
    ],
)
def test_a_value_may_move_as_far_as_another_processor_moves_it(values: list[float], lines: int) -> None:
    assert len(compare.differences(EXPECTED.assign(value=values), EXPECTED)) == lines


def test_a_value_that_is_gone_or_new_is_named() -> None:
    other = EXPECTED.assign(metric=["clip", "iou", "seconds"])
    assert compare.differences(other, EXPECTED) == ["only in one: sds p01 clip_r", "only in one: sds p01 iou"]
