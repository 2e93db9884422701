"""Somebody's views as a row of a finished run's table."""

from __future__ import annotations

import shutil
from pathlib import Path

import finished_run
import numpy as np
import pandas as pd
import pytest
from folders_of_views import write_pictures

from eval import score
from eval.views.archive import read_asset, read_views
from eval.views.remarks import known_azimuths


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_run.write_finished(tmp_path_factory.mktemp("run"))


def test_a_folder_joins_the_table_of_a_run_which_keeps_its_own(run: Path, tmp_path: Path) -> None:
    """GPTEval3D's layout, with the pictures of a method of the run: the row has that method's numbers."""
    for number, prompt in enumerate(finished_run.PROMPTS):
        write_pictures(read_views(run / "views/sds" / prompt / "0/views.zip"), tmp_path / f"Mine/{number}/0")
    before = (run / "tables/table1.csv").read_bytes()
    score.score(folder=tmp_path / "Mine", row=run, device="cpu")
    table = pd.read_csv(run / "tables/with_mine/table1.csv").set_index("method")
    assert list(table.index) == ["sds", "sctd", "mine", "sphere"] and table.loc["mine", "title"] == "Mine"
    own = [name for name in ("toy_reward", "clip_r_hard", "color_error") if name in table]
    assert own and all(table.loc["mine", name] == table.loc["sds", name] for name in own)
    assert (run / "tables/table1.csv").read_bytes() == before


def test_a_row_that_does_not_fit_leaves_nothing_of_itself(run: Path, tmp_path: Path) -> None:
    write_pictures(read_views(run / "views/sds/p01/0/views.zip"), tmp_path / "theirs/p01")
    write_pictures(np.full((4, 64, 64, 4), 200, np.uint8), tmp_path / "theirs/p02")
    with pytest.raises(ValueError, match="the run's are"):
        score.score(folder=tmp_path / "theirs", row=run, as_="uneven", device="cpu")
    assert not [*run.glob("*/*uneven")]


def test_what_was_said_of_the_cameras_stays_with_the_rows_views(run: Path, tmp_path: Path) -> None:
    """So that they are judged alike whenever they are scored again."""
    write_pictures(read_views(run / "views/sds/p01/0/views.zip"), tmp_path / "theirs/p01")
    score.score(folder=tmp_path / "theirs", row=run, as_="half a ring", arc=180, device="cpu")
    kept = read_asset(run / "views/half_a_ring/p01/0/views.zip")
    azimuths = known_azimuths(kept, run, run)
    assert azimuths is not None and azimuths.tolist() == [0, 30, 60, 90, 120, 150]


def test_a_prompt_without_views_is_a_failed_asset_of_the_row(run: Path, tmp_path: Path) -> None:
    source = run / "views/sds/p01/0/views.zip"
    (tmp_path / "half/p01").mkdir(parents=True)
    shutil.copyfile(source, tmp_path / "half/p01/views.zip")
    score.score(folder=tmp_path / "half", row=run, as_="Half of it", device="cpu")
    table = pd.read_csv(run / "tables/with_half_of_it/table1.csv").set_index("method")
    assert table.loc["half_of_it", ["title", "failed"]].tolist() == ["Half of it", 1]


@pytest.mark.parametrize(
    ("name", "views", "words"),
    [
        ("sds", 6, "has a row 'sds' already"),
        ("truth", 6, "has a row 'truth' already"),
        ("CSD", 6, "'csd' is a method of this suite's"),
        ("他们", 6, "has no letter a to z"),
        ("kept", 6, "is there already, and of no such row"),
        ("few", 4, "the run's are"),
    ],
)
def test_what_cannot_stand_in_the_table_is_refused(
    name: str, views: int, words: str, run: Path, tmp_path: Path
) -> None:
    write_pictures(np.full((views, 64, 64, 4), 200, np.uint8), tmp_path / "theirs/p01")
    (run / "views/kept").mkdir(exist_ok=True)
    with pytest.raises(ValueError, match=words):
        score.score(folder=tmp_path / "theirs", row=run, as_=name, device="cpu")
