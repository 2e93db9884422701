"""The contact sheet: letters that can be read, at forty prompts too and in any script."""

from __future__ import annotations

import numpy as np
import pytest

from eval.plots.fonts import length
from eval.plots.sheet import AGAIN, FAILED, GAP, LETTER, MOST, PAGE, SIDES, TILE, Strip, compose, wrap

WHITE = np.full((len(SIDES), 8, 8, 3), 255, np.uint8)


def sheet_of(rows: int, columns: int, text: str = "a red bear with a blue hat") -> np.ndarray:
    sheet = compose(["SDS, CFG 7.5"] * columns, [Strip(text, [WHITE] * columns)] * rows, SIDES)
    return np.asarray(sheet)


@pytest.mark.parametrize("columns", [1, 3, 7])
def test_letters_are_as_high_as_they_shall_be_on_a_page(columns: int) -> None:
    """A row of white tiles: what is dark is text; the letter H is .73 of a font's size."""
    sheet = sheet_of(1, columns, "H")
    row = sheet[-TILE:, : sheet.shape[1] // 10].min((1, 2)) < 128
    high = int(row.sum()) / 0.73
    assert high * min(1, PAGE / sheet.shape[1]) >= 0.9 * min(LETTER, high)
    assert high >= 12 * 0.9


def test_sides_of_an_asset_stand_apart() -> None:
    black = np.zeros_like(WHITE)
    sheet = np.asarray(compose(["x"], [Strip("x", [black])], SIDES))
    dark = (sheet[-TILE // 2, sheet.shape[1] // 4 :] == 0).all(-1).astype(int)
    assert (np.diff(dark) == 1).sum() >= len(SIDES) - 1


def test_a_failed_asset_has_a_tile_with_the_reason_in_its_place() -> None:
    """Wherever it stands, also first; a reason that is too long ends in dots, within its tile."""
    for reason in ("failed: gone", "failed: " + "no memory was left " * 20):
        sheet = np.asarray(compose(["x", "y"], [Strip("x", [reason, WHITE])], SIDES))
        assert sheet.shape == np.asarray(compose(["x", "y"], [Strip("x", [WHITE, WHITE])], SIDES)).shape
        tiles = sheet[-TILE - GAP : -GAP]
        gray = np.flatnonzero((tiles == int(FAILED[1:3], 16)).all(-1).any(0))
        dark = np.flatnonzero((tiles < 100).all(-1)[:, gray[0] : gray[-1]].any(0))
        assert len(dark) and gray[-1] - gray[0] < len(SIDES) * (TILE + 4) and dark[-1] < gray[-1] - gray[0]
        assert (tiles[:, gray[-1] + 1 :] == 255).all() and (sheet[-GAP:] == 255).all()


def test_titles_come_again_at_forty_prompts() -> None:
    """Above the first column of tiles there is dark where a title is, and only there."""
    sheet = sheet_of(40, 2)
    column = sheet[:, 130:200].min((1, 2)) < 128
    written = np.flatnonzero(column)
    assert 1 + (np.diff(written) > TILE // 2).sum() == 40 // AGAIN


def test_more_columns_than_a_page_shows_are_blocks_below_each_other() -> None:
    """As high as the blocks, no wider than one; every column's picture is there, letters fit a block."""
    most = MOST // len(SIDES)
    one, two = sheet_of(2, most), sheet_of(2, 2 * most)
    assert two.shape[1] == one.shape[1] and two.shape[0] > 2 * one.shape[0]
    black = np.zeros_like(WHITE)
    pictures = [[WHITE if i != column else black for i in range(2 * most)] for column in (0, 2 * most - 1)]
    for row in pictures:
        sheet = np.asarray(compose(["x"] * 2 * most, [Strip("", row)], SIDES))
        assert (sheet < 50).all(-1).sum() >= len(SIDES) * TILE**2
    assert sheet_of(2, most + 1).shape[1] < one.shape[1]


def test_a_text_is_broken_where_it_would_be_too_wide_a_long_word_within() -> None:
    broken = wrap("a " + "w" * 60 + " b", 100, 12).splitlines()
    assert len(broken) > 3 and max(length(line, 12) for line in broken) <= 100
    assert "".join(broken).replace(" ", "") == "a" + "w" * 60 + "b"
