"""A method has one color and one marker, bound to its name, in every figure and page."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import simulated_run as simulated
import yaml

from eval.plots import figures
from eval.plots.style import REGISTRY, SPARE_COLORS, look, looks
from eval.tables import table1 as table

ENTRIES = yaml.safe_load(REGISTRY.read_text())
# Machado, Oliveira and Fernandes 2009, "A physiologically-based model for simulation of color vision
# deficiency", severity 1, on linear RGB.
SEEN_BY = {
    "everyone": np.eye(3),
    "protanopes": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopes": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopes": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]]
)


def lab(color: str, eyes: str) -> np.ndarray:
    """CIE Lab of what someone sees of a #rrggbb color."""
    coded = np.array([int(color[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    linear = np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)
    x, y, z = np.cbrt(TO_XYZ @ np.clip(SEEN_BY[eyes] @ linear, 0, 1) / [0.95047, 1, 1.08883])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("eyes", SEEN_BY)
def test_whoever_looks_can_tell_the_methods_apart(eyes: str) -> None:
    colors = {entry["color"] for entry in ENTRIES.values() if "color" in entry} | {*SPARE_COLORS}
    for one, other in itertools.combinations(sorted(colors), 2):
        assert np.linalg.norm(lab(one, eyes) - lab(other, eyes)) > 15, f"{one} and {other}"


def test_no_two_methods_look_alike_and_those_of_table_1_share_neither_color_nor_marker() -> None:
    found = looks(ENTRIES)
    assert len({*found.values()}) == len(ENTRIES)
    first = [found[name] for name in ("sds", "ism", "cds", "gcs", "sctd")]
    assert len({own.color for own in first}) == len({own.marker for own in first}) == 5


def test_a_method_that_states_no_color_keeps_one_that_no_other_states() -> None:
    foreign = {f"foreign_{number}": {"title": "X"} for number in range(9)}
    found = looks(ENTRIES | foreign)
    assert len({*found.values()}) == len(found)
    stated = {entry["color"] for entry in ENTRIES.values() if "color" in entry}
    assert not stated & {found[name].color for name in foreign}
    assert looks(ENTRIES | {"foreign_0": {"title": "X"}})["foreign_0"] == found["foreign_0"]
    taken = looks({"mine": {"color": SPARE_COLORS[0], "marker": "o"}, "other": {}})
    assert taken["other"].color != SPARE_COLORS[0]


def test_a_stated_color_or_marker_alone_is_kept() -> None:
    found = looks({"a": {"color": "#123456"}, "b": {"marker": "*"}})
    assert found["a"].color == "#123456" and found["b"].marker == "*"


def test_one_color_for_two_methods_is_refused() -> None:
    with pytest.raises(ValueError, match="methods a and b have the same color, #123456"):
        looks({"a": {"color": "#123456"}, "b": {"color": "#123456"}})


def test_a_variant_looks_like_its_method_and_a_name_that_is_not_registered_like_itself() -> None:
    assert look("gcs/omega~3.5/brightness.enabled~False") == look("gcs")
    assert look("theirs") == look("theirs") and look("theirs") not in looks(ENTRIES).values()


def test_a_method_is_drawn_alike_in_every_figure_whichever_others_are_there(tmp_path: Path) -> None:
    root = simulated.write_run(tmp_path, failed=())
    arguments = simulated.arguments(root)
    for methods in (list(simulated.METHODS), ["sctd", "cds"]):
        table.main(simulated.choose(arguments, methods))
        drawn = figures.draw_all(root / "tables")
        points = dict(zip(methods, drawn["quality_time"].axes[0].containers, strict=True))
        rank_lines = drawn["critical_difference"].axes[0].lines
        for method in methods:
            own = look(method)
            assert (points[method][0].get_color(), points[method][0].get_marker()) == (own.color, own.marker)
            assert own.marker in {line.get_marker() for line in rank_lines if line.get_color() == own.color}
        page = (root / "tables/table1.html").read_text()
        assert [page.count(f"--method: {look(method).color}") > 0 for method in simulated.METHODS] == [
            method in methods for method in simulated.METHODS
        ]
