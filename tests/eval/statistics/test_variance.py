"""Variance components: known ones are recovered, and rounding has none."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from eval.statistics.variance import COMPONENTS, split_metric, variance_split
from eval.tables.formats import NOTHING
from eval.tables.variance import variance_table

NAN = float("nan")


def long_table(values: np.ndarray, metric: str = "clip") -> pd.DataFrame:
    """(P, M, S, V) as the long table; NaN kept."""
    rows = [
        (f"m{m}", f"p{p:02d}", s, v, metric, values[p, m, s, v]) for p, m, s, v in np.ndindex(values.shape)
    ]
    return pd.DataFrame(rows, columns=["method", "prompt", "seed", "view", "metric", "value"])


def components_data(rng: np.random.Generator, shape: tuple[int, int, int, int]) -> np.ndarray:
    """(P, M, S, V) with variances prompt 4, method 1, interaction 2, seed 0.5, view 3."""
    p, m, s, v = shape
    return (
        2 * rng.standard_normal((p, 1, 1, 1))
        + rng.standard_normal((1, m, 1, 1))
        + np.sqrt(2) * rng.standard_normal((p, m, 1, 1))
        + np.sqrt(0.5) * rng.standard_normal((p, m, s, 1))
        + np.sqrt(3) * rng.standard_normal((p, m, s, v))
    )


def test_balanced_components_are_the_classic_mean_squares() -> None:
    y = components_data(np.random.default_rng(12), (7, 4, 3, 5))
    p, m, s, v = y.shape
    cell, asset, grand = y.mean((2, 3)), y.mean(3), y.mean()
    ms_view = y.var(3, ddof=1).mean()
    ms_seed = v * asset.var(2, ddof=1).mean()
    rest = cell - cell.mean(1, keepdims=True) - cell.mean(0) + grand
    ms_both = s * v * (rest**2).sum() / ((p - 1) * (m - 1))
    ms_prompt, ms_method = s * v * m * cell.mean(1).var(ddof=1), s * v * p * cell.mean(0).var(ddof=1)
    expected = [
        (ms_prompt - ms_both) / (s * v * m),
        (ms_method - ms_both) / (s * v * p),
        (ms_both - ms_seed) / (s * v),
        (ms_seed - ms_view) / v,
        ms_view,
    ]
    assert split_metric(long_table(y)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("missing", [0.0, 0.15])
def test_known_components_are_recovered_without_bias_also_when_assets_and_views_are_missing(
    missing: float,
) -> None:
    rng = np.random.default_rng(13)
    found = []
    for _ in range(40):
        y = components_data(rng, (8, 6, 2, 4))
        y[rng.random(y.shape[:3]) < missing] = NAN
        y[rng.random(y.shape) < missing] = NAN
        found.append(split_metric(long_table(y).dropna()))
    mean, error = np.mean(found, 0), np.std(found, 0, ddof=1) / np.sqrt(len(found))
    assert (np.abs(mean - [4, 1, 2, 0.5, 3]) < 3.5 * error).all()
    assert (error < [0.6, 0.25, 0.25, 0.15, 0.1]).all()


def test_with_two_seeds_the_table_reads_the_planted_shares_of_every_source() -> None:
    """Variances 4, 1, 2, .5 and 3, planted: shares of 10.5."""
    split = variance_split(long_table(components_data(np.random.default_rng(21), (40, 20, 2, 5))))
    table = variance_table(split)
    assert table.header == ["Metric", "prompt", "method", "prompt x method", "seed", "view"]
    (row,) = table.blocks[0].rows
    planted = np.array([4, 1, 2, 0.5, 3]) / 10.5
    assert row.title == "CLIP" and [cell.value for cell in row.cells] == pytest.approx(planted, abs=0.1)
    assert [cell.text for cell in row.cells] == [f"{100 * cell.value:.0f} %" for cell in row.cells]
    assert "seed + view, independent random terms" in table.caption


def test_the_seed_has_a_dash_where_there_is_one_and_what_has_no_split_has_no_row() -> None:
    y = components_data(np.random.default_rng(22), (9, 3, 1, 6))
    table = variance_table(variance_split(pd.concat([long_table(y), long_table(0 * y, "iou")])))
    (row,) = table.blocks[0].rows
    assert [cell.text == NOTHING for cell in row.cells] == [False, False, False, True, False]


def test_shares_sum_to_one_and_what_one_seed_cannot_tell_is_not_told() -> None:
    y = components_data(np.random.default_rng(14), (9, 3, 1, 6))
    table = variance_split(pd.concat([long_table(y), long_table(y * 2, "iou")]))
    assert table["component"].tolist() == list(COMPONENTS) * 2
    assert table.groupby("metric")["share"].sum().tolist() == pytest.approx([1, 1])
    clip, iou = (table[table["metric"] == name]["variance"].to_numpy() for name in ("clip", "iou"))
    turned = variance_split(pd.concat([long_table(y, "iou"), long_table(y)]))
    assert turned["metric"].unique().tolist() == ["iou", "clip"]  # in order of appearance
    assert np.isnan(clip[3]) and iou == pytest.approx(4 * clip, nan_ok=True)
    single = variance_split(long_table(y[:, :1]))["variance"].to_numpy()
    assert np.isnan(single[1:4]).all() and single[0] > 0


def test_a_metric_that_spreads_by_rounding_alone_has_no_split() -> None:
    rng = np.random.default_rng(19)
    shape = (6, 3, 1, 5)
    rounded = np.vectorize(lambda x: float(f"{x:.6g}"))
    columns = {
        "equal": np.ones(shape),
        "summed": np.full(shape, 0.1 + 0.2) + rng.choice([0, 5e-17], shape),
        "last digit": rounded(0.123456 + rng.choice([0, 1e-6], shape)),
        "large": rounded(34567.2 + rng.normal(0, 0.03, shape)),
        "zero": np.zeros(shape),
        "real": rounded(1000 + rng.normal(0, 0.5, shape)),
    }
    table = variance_split(pd.concat([long_table(y, name) for name, y in columns.items()]))
    split = table.groupby("metric", sort=False)["share"].sum(min_count=1)
    assert split.drop("real").isna().all() and split["real"] == pytest.approx(1)
    assert table.loc[table["metric"] != "real", "variance"].isna().all() and len(table) == 30


@pytest.mark.parametrize("unit", [1e-4, 1, 1e4])
def test_a_component_at_rounding_level_is_zero_in_any_unit(unit: float) -> None:
    y = np.repeat(components_data(np.random.default_rng(20), (6, 1, 1, 4)), 3, axis=1)
    split = variance_split(long_table(unit * y)).set_index("component")["variance"]
    assert split["method"] <= 0 and (split["method"] == 0 or abs(split["method"]) > 1e-9 * unit**2)
    assert split["prompt"] > 0 and split["view"] > 0


@pytest.mark.parametrize(("spread", "known"), [(1e-3, True), (2e-5, False)])
def test_a_spread_of_ten_last_digits_has_a_source_and_one_of_a_fifth_has_none(
    spread: float, known: bool
) -> None:
    """Values near 50 are kept to 1e-4."""
    y = 50 + spread * np.random.default_rng(5).standard_normal((6, 1, 1, 1)).repeat(3, 1)
    y = y + 0.1 * spread * np.random.default_rng(6).standard_normal((6, 3, 1, 1))
    assert variance_split(long_table(y))["variance"].notna().any() == known


def test_two_methods_on_two_prompts_are_enough_to_tell_every_source() -> None:
    y = components_data(np.random.default_rng(25), (2, 2, 2, 2))
    assert np.isfinite(split_metric(long_table(y))).all()
