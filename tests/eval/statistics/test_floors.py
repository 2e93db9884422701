"""Failed assets in the statistics: complete prompts, and the value of the start."""

from __future__ import annotations

from itertools import product

import pandas as pd
import pytest

from eval.statistics.failures import complete_prompts, failed_assets, floor_failures
from eval.statistics.intervals import prompt_means

NAN = float("nan")


def failing_scores() -> pd.DataFrame:
    """Two prompts, two seeds, views of CLIP: cds fails on p0 with seed 0 and on p1 with both."""
    rows = []
    for method, prompt, seed in product(("start", "cds", "sctd"), ("p0", "p1"), (0, 1)):
        failed = method == "cds" and (prompt, seed) != ("p0", 1)
        base = {"start": 1.0, "cds": 5.0, "sctd": 9.0}[method] + 10 * (prompt == "p1")
        if not (failed and seed == 0 and prompt == "p1"):  # one failure leaves no row at all
            rows += [(method, prompt, seed, v, "clip", NAN if failed else base + v) for v in (0, 1)]
        rows.append((method, prompt, seed, 0, "seconds", 7.0))
    rows = [(*r[:5], NAN if r[:4] == ("start", "p1", 0, 0) and r[4] == "clip" else r[5]) for r in rows]
    return pd.DataFrame(rows, columns=["method", "prompt", "seed", "view", "metric", "value"])


def test_a_failed_asset_is_found_though_it_has_a_cost_or_no_rows() -> None:
    failed = failed_assets(failing_scores(), ["clip"])
    assert failed.values.tolist() == [["cds", "p0", 0], ["cds", "p1", 0], ["cds", "p1", 1]]
    without = failing_scores().query("metric == 'clip'")
    assets = failing_scores()[["method", "prompt", "seed"]]
    assert len(failed_assets(without, ["clip"])) == 2
    assert len(failed_assets(without, ["clip"], assets)) == 3


def test_complete_prompts_are_those_where_every_method_made_something() -> None:
    scores = failing_scores()
    assert complete_prompts(scores, ["cds", "sctd"], ["clip"]) == ["p0"]
    kept = scores[(scores["prompt"] == "p0") & (scores["metric"] == "clip")]
    means = prompt_means(kept).set_index("method")["value"]
    assert means["cds"] == 5.5  # of the seed that succeeded
    assert complete_prompts(scores, ["sctd"], ["clip"]) == ["p0", "p1"]
    assert complete_prompts(scores, ["cds"], ["clip"]) == ["p0"]  # p1 has nothing of anybody asked for


def test_a_failed_asset_counts_as_the_start_on_its_prompt() -> None:
    floored = floor_failures(failing_scores(), ["clip"])
    assert set(floored["metric"]) == {"clip"} and floored["value"].notna().all()
    assert set(floored["view"]) == {0} and floored.index.is_unique
    means = prompt_means(floored).set_index(["method", "prompt"])["value"]
    assert means["cds", "p0"] == (1.5 + 5.5) / 2
    assert means["cds", "p1"] == means["start", "p1"] == (12.0 + 11.5) / 2
    assert means["sctd", "p1"] == 19.5
    with pytest.raises(ValueError, match="no control 'grey'"):
        floor_failures(failing_scores(), ["clip"], control="grey")
