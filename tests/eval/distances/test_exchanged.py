"""Assets under wrong prompts: which distances see it, which are withheld, and where the reason stands."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import simulated_run as simulated
from folders_of_views import ROOT, score
from simulated_run import lines_of

from eval.metrics import read_titles
from eval.scores.clip import embed_images, load_clip
from eval.tables import table1 as table
from eval.views.archive import composite, write_views
from toybox.scenes import Spec, primitives
from toybox.truth import render_orbit

PAIRED = ["kid_clip_pp", "cmmd_pp"]
NEXT = dict(zip(simulated.PROMPTS, (*simulated.PROMPTS[1:], simulated.PROMPTS[0]), strict=True))
NONE = r"no KID\_pp (CLIP), CMMD\_pp"  # in Markdown
REASON = "these assets do not belong to these prompts"


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with the control `shuffled`, whose method ISM has good features under the next prompt."""
    root = simulated.write_run(tmp_path_factory.mktemp("exchanged"), failed=())
    for prompt, following in NEXT.items():
        shutil.copytree(root / f"scores/sctd/{following}", root / f"scores/shuffled/{prompt}")
        features = f"{following}/0/features.npz", f"{prompt}/0/features.npz"
        shutil.copy(root / "scores/truth" / features[0], root / "scores/ism" / features[1])
    arguments = simulated.arguments(root)
    arguments.insert(arguments.index("--seeds"), "shuffled")
    table.main(arguments)
    return root / "tables"


@pytest.fixture(scope="module")
def extended(tables: Path) -> pd.DataFrame:
    return pd.read_csv(tables / "table1_extended.csv").set_index("method")


def test_a_permutation_of_assets_has_their_pooled_distances_without_interval(extended: pd.DataFrame) -> None:
    for metric in ("fid_clip", "kid_clip", "cmmd"):
        assert extended.loc["shuffled", metric] == pytest.approx(extended.loc["sctd", metric], rel=1e-4)
        assert np.isnan(extended.loc["shuffled", f"{metric}_low"])
        assert extended.loc["sctd", f"{metric}_low"] < extended.loc["sctd", metric]


def test_a_permutation_of_assets_has_no_paired_distance(tables: Path, extended: pd.DataFrame) -> None:
    assert extended.loc["shuffled", PAIRED].isna().all()
    page = (tables / "table1_extended.md").read_text()
    assert f"SCTD's assets under other prompts: {NONE}: these are other prompts'" in page
    assert lines_of(page)["SCTD's assets under other prompts"].count("–") >= 2


def test_the_distance_of_prompts_sees_what_the_pooled_ones_do_not(
    tables: Path, extended: pd.DataFrame
) -> None:
    values = pd.read_csv(tables / "per_prompt.csv").set_index(["method", "metric", "prompt"])["value"]
    for metric in ("kid_clip_p", "cmmd_p"):
        right, wrong, start = (extended.loc[name, metric] for name in ("sctd", "shuffled", "start"))
        assert abs(right) < 0.1 * wrong and extended.loc["truth", metric] < 0.1 * wrong < start
        assert values["shuffled", metric].min() > values["sctd", metric].max()


def test_the_distance_of_prompts_is_an_ordinary_metric_outside_holms_family(tables: Path) -> None:
    per_prompt = pd.read_csv(tables / "per_prompt.csv").query("metric == 'kid_clip_p'")
    assert (per_prompt.groupby("method")["prompt"].nunique() == len(simulated.PROMPTS)).all()
    compared = pd.read_csv(tables / "comparisons.csv").query("metric == 'kid_clip_p' and against == 'sctd'")
    assert compared["p"].between(0, 1).all() and compared["won"].notna().all()
    assert compared["holm"].isna().all()
    assert "kid_clip_p" in set(pd.read_csv(tables / "variance.csv")["metric"])


def test_a_method_whose_assets_belong_elsewhere_is_refused_with_the_reason(
    tables: Path, extended: pd.DataFrame
) -> None:
    assert extended.loc["ism", PAIRED].isna().all()
    assert extended.loc["ism", [f"{metric}_rank" for metric in PAIRED]].isna().all()
    page = (tables / "table1_extended.md").read_text()
    title = read_titles(ROOT / "baselines/methods.yaml")["ism"]
    assert f"{title}: {NONE}: {REASON}" in page
    assert f'title="{REASON}' in (tables / "table1.html").read_text()
    reasons = pd.read_csv(tables / "summary.csv").query("method == 'ism'").set_index("metric")["reason"]
    assert reasons[PAIRED].str.startswith(REASON).all() and reasons.drop(PAIRED).isna().all()


def test_no_test_is_made_of_a_refused_distance(tables: Path) -> None:
    compared = pd.read_csv(tables / "comparisons.csv")
    paired = compared[compared["metric"].isin(PAIRED)]
    assert not {"ism"} & {*paired["method"], *paired["against"]}
    assert len(paired[paired["metric"] == "cmmd_pp"]) == 6  # pairs of the four other methods
    fid = compared[compared["metric"] == "fid_clip"]
    assert "ism" in {*fid["method"], *fid["against"]}


def test_a_column_stays_where_all_of_its_methods_are_refused(tmp_path: Path) -> None:
    root = simulated.write_run(tmp_path, failed=())
    for prompt, following in NEXT.items():
        source = root / f"scores/truth/{following}/0/features.npz"
        shutil.copy(source, root / f"scores/ism/{prompt}/0/features.npz")
    arguments = simulated.arguments(root)
    start, end = arguments.index("--methods"), arguments.index("--seeds")
    table.main([*arguments[:start], "--methods", "ism", *arguments[end:]])
    page = (root / "tables/table1_extended.md").read_text()
    assert "KID\\_pp (CLIP) ↓" in lines_of(page)["Method"] and REASON in page


def views_of(prompt: pd.Series) -> np.ndarray:
    spec = Spec(prompt["class"], prompt["color"], prompt["second"] or None)
    return render_orbit(primitives(spec), 12, 0.0, 64)


def test_a_folder_under_wrong_prompts_gets_no_paired_distance_and_is_told_why(tmp_path: Path) -> None:
    prompts = pd.read_csv(ROOT / "prompts/toybox.tsv", sep="\t", keep_default_na=False).set_index("id")
    views = {name: views_of(prompt) for name, prompt in prompts.iterrows()}
    clip = load_clip("toybox-clip", str(ROOT / "toybox/models/clip/model.safetensors"))
    stored = {f"clip/{name}": embed_images(clip, composite(rgba)) for name, rgba in views.items()}
    np.savez(tmp_path / "reference.npz", **stored)
    names = list(views)
    summaries, printed = {}, {}
    for folder, places in (("right", names), ("wrong", [*names[1:], names[0]])):
        for place, rgba in zip(places, views.values(), strict=True):
            write_views(rgba, tmp_path / folder / place / "views.zip")
        ran = score(
            tmp_path / folder,
            "--prompts",
            "prompts/toybox.tsv",
            "--out",
            tmp_path / "out" / folder,
            "--reference",
            tmp_path / "reference.npz",
        )
        assert ran.returncode == 0, ran.stderr
        printed[folder] = ran.stdout
        summaries[folder] = pd.read_csv(tmp_path / "out" / folder / "summary.csv").set_index("metric")
    right, wrong = summaries["right"], summaries["wrong"]
    for metric in PAIRED:
        assert np.isnan(wrong.loc[metric, "mean"]) and wrong.loc[metric, "reason"].startswith(REASON)
        assert f"{metric}: {REASON}" in printed["wrong"] and np.isfinite(right.loc[metric, "mean"])
    assert REASON not in printed["right"]
    for metric in ("kid_clip_p", "cmmd_p"):
        assert wrong.loc[metric, "low"] > max(0, right.loc[metric, "high"])
        assert wrong.loc[metric, "prompts"] == 6
    assert wrong.loc["fid_clip", "mean"] == pytest.approx(right.loc["fid_clip", "mean"], abs=1e-6)
