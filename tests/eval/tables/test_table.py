"""Table 1: what it reads and refuses, and its figures."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import simulated_run as simulated

from eval.distances.paired import measure
from eval.metrics import columns
from eval.run import read_run
from eval.tables import table1 as table
from eval.tables.layout import number

PAPER = Path("baselines/paper.yaml")


# What is read ---------------------------------------------------------------------------------------------


def test_two_protocols_in_one_table_are_refused_by_both_names(tmp_path: Path) -> None:
    root = simulated.write_run(tmp_path, features=False)
    other = root / "scores/gcs/p02/0/protocol.json"
    other.write_text(other.read_text().replace("a1b2", "ffff"))
    with pytest.raises(SystemExit) as stopped:
        table.main(simulated.arguments(root))
    message = str(stopped.value)
    assert message.startswith("error: two protocols") and "\n" not in message
    assert "sds/p01/0/protocol.json has a1b2" in message and "gcs/p02/0/protocol.json has ffff" in message


def test_a_failed_assets_protocol_does_not_count(tmp_path: Path) -> None:
    root = simulated.write_run(tmp_path, features=False)
    record = root / "scores/ism/p03/0/protocol.json"
    record.write_text(record.read_text().replace("a1b2", "ffff"))
    run = read_run(root, simulated.METHODS, simulated.CONTROLS, simulated.PROMPTS, 1)
    assert run.protocol_id == "a1b2" and run.failed()["reason"].tolist() == [simulated.REASON]


def test_scores_without_a_protocol_are_read_and_said_to_be_unknown(tmp_path: Path) -> None:
    root = simulated.write_run(tmp_path, features=False, failed=())
    for path in root.rglob("protocol.json"):
        path.unlink()
    run = read_run(root, simulated.METHODS, simulated.CONTROLS, simulated.PROMPTS, 1)
    assert run.protocol_id == "" and run.failed().empty


def test_a_foreign_method_needs_no_cost_and_has_none(tmp_path: Path) -> None:
    root = simulated.write_run(tmp_path, features=False)
    shutil.rmtree(root / "assets/cds")
    run = read_run(root, simulated.METHODS, simulated.CONTROLS, simulated.PROMPTS, 1)
    timed = set(run.scores.loc[run.scores["metric"] == "seconds", "method"])
    assert timed == {"sds", "ism", "gcs", "sctd"}


def test_a_missing_file_of_scores_ends_with_one_line(tmp_path: Path) -> None:
    root = simulated.write_run(tmp_path, features=False)
    (root / "scores/sds/p02/0/scores.csv").unlink()
    with pytest.raises(SystemExit, match=r"error: .*sds/p02/0/scores\.csv"):
        table.main(simulated.arguments(root))


def test_image_rewards_of_another_program_join_the_scores_and_their_protocol(tmp_path: Path) -> None:
    root = simulated.write_run(tmp_path, features=False)
    simulated.add_image_reward(root)
    run = read_run(root, simulated.METHODS, simulated.CONTROLS, simulated.PROMPTS, 1)
    values = {m: run.scores.loc[run.scores["metric"] == m, "value"] for m in ("image_reward", "toy_reward")}
    assert len(values["image_reward"]) == 6 * (7 * 8 - 1)
    assert values["image_reward"].tolist() == values["toy_reward"].tolist()
    assert run.protocols == simulated.PROTOCOL | {"image_reward": "blip_224"}
    assert run.protocol_id == "a1b2+c3d4"


def test_an_asset_that_lacks_the_image_reward_of_the_others_is_refused(tmp_path: Path) -> None:
    root = simulated.write_run(tmp_path, features=False)
    simulated.add_image_reward(root)
    (root / "scores/cds/p05/0/image_reward.json").unlink()
    with pytest.raises(SystemExit, match=r"error: two protocols .*has a1b2\+c3d4, .*cds/p05.* has a1b2;"):
        table.main(simulated.arguments(root))


# The figures ----------------------------------------------------------------------------------------------


def test_the_headline_is_the_mean_over_the_prompts_that_all_methods_survived(mini: Path) -> None:
    read = pd.read_csv(mini / "table1.csv").set_index("method")
    per_prompt = pd.read_csv(mini / "per_prompt.csv")
    clip = per_prompt[(per_prompt["metric"] == "clip") & (per_prompt["prompt"] != "p03")]
    means = clip.groupby("method")["value"].mean()
    for method in (*simulated.METHODS, *simulated.CONTROLS):
        assert read.loc[method, "clip"] == pytest.approx(means[method], rel=1e-5)
        assert read.loc[method, "clip_low"] < read.loc[method, "clip"] < read.loc[method, "clip_high"]
        assert read.loc[method, "clip_n"] == 7
    assert read["failed"].to_dict() == {
        "sds": 0,
        "ism": 1,
        "cds": 0,
        "gcs": 0,
        "sctd": 0,
        "truth": 0,
        "start": 0,
    }


def test_the_second_figure_counts_the_failure_as_the_start(mini: Path) -> None:
    read = pd.read_csv(mini / "table1.csv").set_index("method")
    per_prompt = pd.read_csv(mini / "per_prompt.csv")
    clip = per_prompt[per_prompt["metric"] == "clip"].pivot(index="prompt", columns="method", values="value")
    expected = clip["ism"].fillna(clip["start"]).mean()
    assert read.loc["ism", "clip_floor"] == pytest.approx(expected, rel=1e-5)
    assert read.loc["ism", "clip_floor"] < read.loc["ism", "clip"] - 5
    assert read.loc["sctd", "clip_floor"] == pytest.approx(clip["sctd"].mean(), rel=1e-5)


def test_distances_are_those_of_the_stored_features_on_the_complete_prompts(mini: Path) -> None:
    prompts = [p for p in simulated.PROMPTS if p != "p03"]
    mine = [np.load(mini.parent / f"scores/sds/{p}/0/features.npz")["clip"] for p in prompts]
    reference = np.load(mini.parent / "reference/features.npz")
    expected = measure("fid_clip", {"sds": mine}, [reference[f"clip/{p}"] for p in prompts])
    read = pd.read_csv(mini / "table1.csv").set_index("method").loc["sds"]
    assert read["fid_clip"] == pytest.approx(expected["value"].item(), rel=1e-5)
    reach = 2.4469 * expected["se"].item()  # Student's t, 6 degrees of freedom
    assert read["fid_clip_high"] - read["fid_clip"] == pytest.approx(reach, rel=1e-3)


def test_the_failure_is_at_the_floor_of_the_distances_too(mini: Path) -> None:
    read = pd.read_csv(mini / "table1.csv").set_index("method")
    assert read.loc["ism", "fid_clip_floor"] > 2 * read.loc["ism", "fid_clip"]


def test_ranks_follow_each_columns_better_side_and_controls_have_none(mini: Path) -> None:
    read = pd.read_csv(mini / "table1.csv").set_index("method")
    assert read.loc["sds", ["toy_reward_rank", "fid_clip_rank", "seconds_rank"]].tolist() == [1, 4, 1]
    assert read.loc["cds", "fid_clip_rank"] == 5 and read["clip_rank"].max() == 5
    assert read.loc[list(simulated.CONTROLS), "clip_rank"].isna().all()
    assert (
        read["toy_reward_p_first"].sum() == pytest.approx(1) and read.loc["sds", "toy_reward_p_first"] > 0.99
    )


def test_every_pair_is_compared_once_and_holm_is_over_the_confirmatory_metrics_against_the_reference(
    mini: Path,
) -> None:
    read = pd.read_csv(mini / "comparisons.csv")
    clip = read[read["metric"] == "clip"]
    assert (
        len(clip) == 10
        and len({frozenset(pair) for pair in zip(clip["method"], clip["against"], strict=True)}) == 10
    )
    family = read[read["holm"].notna()]
    assert set(family["against"]) == {"sctd"} and set(family["metric"]) == {"toy_reward", "iou"}
    assert (family["holm"] >= family["p"]).all() and (family["p"].max() <= 1)
    assert f"Holm over all {len(family)} comparisons" in (mini / "table1.md").read_text()


def test_differences_are_paired_and_have_the_planted_sign(mini: Path) -> None:
    read = pd.read_csv(mini / "table1.csv").set_index("method")
    assert read.loc["sds", "clip_difference"] == pytest.approx(-4, abs=0.5)
    assert read.loc["sds", "clip_difference_high"] < 0 < read.loc["sds", "fid_clip_difference_low"]
    assert np.isnan(read.loc["sctd", "clip_difference"]) and np.isnan(read.loc["start", "clip_difference"])


def test_variances_are_split_for_every_metric_of_the_views(mini: Path) -> None:
    read = pd.read_csv(mini / "variance.csv")
    clip = read[read["metric"] == "clip"].set_index("component")["share"]
    assert clip.sum() == pytest.approx(1) and clip["prompt"] > clip["method"] > clip["view"]
    assert not {"seconds", "nfe"} & set(read["metric"])


def test_the_csv_says_what_the_page_prints(mini: Path) -> None:
    read = pd.read_csv(mini / "table1.csv").set_index("title")
    rows = simulated.lines_of((mini / "table1.md").read_text())
    header = [re.sub(" [↑↓]", "", name).replace("\\", "") for name in rows["Method"]]
    names = {spec["name"]: metric for metric, spec in columns().items()}
    for title, row in read.iterrows():
        for name, cell in zip(header, rows[str(title)], strict=True):
            value, spec = row[names[name]], {"factor": 1, **columns()[names[name]]}
            assert cell.strip("*").replace("−", "-").startswith(number(value, spec))


def test_the_wide_table_holds_the_long_one(mini: Path) -> None:
    wide = pd.read_csv(mini / "table1_extended.csv").set_index("method")
    long = pd.read_csv(mini / "summary.csv")
    assert len(long) > 60
    for row in long.to_dict("records"):
        for part, suffix in table.PARTS.items():
            assert wide.loc[row["method"], row["metric"] + suffix] == pytest.approx(row[part], nan_ok=True)
