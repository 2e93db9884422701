"""The data files behind Table 1: what each metric is called, and what the paper printed."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from eval.distances.paired import MEASURES
from eval.metrics import check_columns, columns, confirmatory_columns, named, primary_columns, read_titles
from eval.tables.paper import paper_values, read_paper

PAPER = Path("baselines/paper.yaml")


def test_every_metric_is_described_and_what_it_names_exists() -> None:
    check_columns()
    known = columns()
    paper = {key for entry in read_paper(PAPER).values() for key in entry}
    for spec in known.values():
        least, most = spec.get("within", (0, 1))
        assert least < most
        assert named(spec, "yields_to") | named(spec, "untested_with") <= set(known)
        assert {spec[key] for key in ("paper", "order") if key in spec} <= paper
        assert ("better" in spec) or not spec.get("primary")
    assert {m for m, spec in known.items() if spec.get("pooled")} == set(MEASURES)


def test_each_scale_has_one_headline_fid_and_one_janus() -> None:
    bare = primary_columns({"clip", "fid_clip", "janus", "janus_index", "kid_clip_pp"})
    assert bare == ["clip", "fid_clip", "kid_clip_pp", "janus"]
    paper = primary_columns({"clip", "fid_clip", "fid_pytorch", "fid_clean", "janus_index", "kid_pp"})
    assert paper == ["clip", "fid_pytorch", "fid_clean", "kid_pp", "janus_index"]


def test_each_world_has_its_confirmatory_metrics_whatever_else_is_measured() -> None:
    assert confirmatory_columns(set(columns())) == ["toy_reward", "iou", "color_error"]
    paper = {"clip", "clip_r", "clip_r_hard", "image_reward", "fid_pytorch", "fid_clean", "fid_clip",
             "kid_pp", "janus_index", "seconds", "q1", "q2"}  # fmt: skip
    assert confirmatory_columns(paper) == ["clip", "image_reward", "fid_pytorch"]
    assert confirmatory_columns(paper - {"fid_pytorch"}) == ["clip", "image_reward", "fid_clip"]


def test_beside_a_known_scene_one_distance_is_shown() -> None:
    present = {"clip", "fid_clip", "kid_clip_pp", "cmmd_pp", "iou", "seconds"}
    assert primary_columns(present) == ["clip", "fid_clip", "iou", "seconds"]


def test_the_papers_mean_ranks_add_up() -> None:
    """Five methods ranked 1 to 5: each question's mean ranks sum to 15, as printed up to rounding."""
    paper = read_paper(PAPER)
    assert (
        set(paper) == {"sds", "ism", "cds", "gcs", "sctd"} <= set(read_titles(Path("baselines/methods.yaml")))
    )
    for question in ("q1", "q2", "q3"):
        assert sum(entry[question] for entry in paper.values()) == pytest.approx(15, abs=0.03)
    assert paper_values(paper, "seconds")["sctd"] == 38 * 60
    assert paper_values(paper, "toy_reward") == {} and paper_values(paper, "toy_reward", order=True)
    assert all(entry["differs"] for entry in yaml.safe_load(PAPER.read_text()).values())
