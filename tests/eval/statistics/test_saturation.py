"""Which columns cannot tell methods apart: levels of all methods against the start and the true scene."""

from __future__ import annotations

import pytest

from eval.statistics.saturation import saturated_metrics

METHODS = ["sds", "cds", "sctd"]


def judged(metric: str, values: list[float], start: float | None, truth: float | None) -> str:
    of = dict(zip(METHODS, values, strict=True))
    of |= {name: value for name, value in (("start", start), ("truth", truth)) if value is not None}
    return saturated_metrics({metric: of}, METHODS, set()).get(metric, "")


@pytest.mark.parametrize(
    ("metric", "values", "end"),
    [
        ("iou", [0.96, 0.97, 0.99], "true scene"),
        ("iou", [0.96, 0.97, 1.2], "true scene"),  # beyond it too
        ("iou", [0.96, 0.97, 0.8], ""),  # one method that lies elsewhere is told apart
        ("iou", [0.52, 0.54, 0.4], "start"),
        ("iou", [0.52, 0.54, 0.97], ""),
        ("color_error", [0.03, 0.01, 0.02], ""),
        ("detail", [0.96, 0.97, 0.99], ""),  # no side of it is the better one
    ],
)
def test_a_column_is_saturated_where_all_methods_lie_within_a_tenth_of_one_end(
    metric: str, values: list[float], end: str
) -> None:
    assert judged(metric, values, 0.5, 1.0) == (end and f"all methods within 10% of the way from the {end}")


def test_a_tenth_of_the_room_itself_is_within_it_at_both_ends() -> None:
    assert judged("iou", [0.1, 0.05, 0.0], 0.0, 1.0).endswith("start")
    assert judged("iou", [0.9, 0.95, 1.0], 0.0, 1.0).endswith("true scene")
    assert judged("iou", [0.11, 0.05, 0.0], 0.0, 1.0) == judged("iou", [0.89, 0.95, 1.0], 0.0, 1.0) == ""


def test_the_better_direction_is_that_of_the_metric() -> None:
    assert judged("color_error", [0.03, 0.01, 0.02], 0.4, 0.0).endswith("true scene")
    assert judged("color_error", [0.03, 0.01, 0.02], 0.0, 0.4) == ""  # a truth that is worse is no ceiling


@pytest.mark.parametrize(("start", "truth"), [(None, 1.0), (0.5, None), (0.7, 0.7), (float("nan"), 1.0)])
def test_without_both_ends_nothing_is_said_unless_all_are_equal(start: float, truth: float) -> None:
    assert judged("iou", [0.99, 1.0, 1.0], start, truth) == ""
    assert saturated_metrics({"iou": {"sds": 1.0}}, METHODS, {"iou"}) == {
        "iou": "equal for all methods on every prompt"
    }


def test_differences_between_methods_decide_nothing() -> None:
    """The same levels with methods exchanged, equal or apart within the edge."""
    told = {
        judged("iou", values, 0.5, 1.0) for values in ([0.96, 0.99, 0.97], [0.97] * 3, [0.99, 0.98, 0.96])
    }
    assert len(told) == 1 and "" not in told
