"""Which files are the views, and in which order, by their names alone."""

from __future__ import annotations

import pytest

from eval.views.naming import NoViews, choose, gap


def numbered(form: str, count: int = 3) -> list[str]:
    return [form.format(i) for i in range(count)]


@pytest.mark.parametrize(
    "form", ["{}.png", "rgb_{}.png", "view-{:03d}.PNG", "out/rgb/{:05d}.png", "{}_rgb.png"]
)
def test_views_come_in_the_order_of_their_numbers_not_of_their_letters(form: str) -> None:
    names = numbered(form, 12)
    found = choose(reversed(names))
    assert list(found.views.values()) == names and list(found.views) == list(range(12))


def test_other_pictures_and_a_systems_own_files_are_told_apart_from_views() -> None:
    others = [
        *numbered("normal_{}.png"), *numbered("depth_{}.png"), *numbered("mask_{}.png"), "sheet.png",
        "readme.txt",
        "__MACOSX/._rgb_0.png", "._rgb_0.png", ".DS_Store", ".thumbnails/rgb_0.png",
    ]  # fmt: skip
    found = choose([*others, *numbered("rgb_{}.png"), *numbered("alpha_{}.png"), *numbered("{}.png", 2)])
    assert list(found.views.values()) == numbered("rgb_{}.png")
    assert list(found.alphas.values()) == numbered("alpha_{}.png")
    assert found.unread == numbered("{}.png", 2) + numbered("mask_{}.png")


def test_what_may_be_meant_for_alpha_is_named() -> None:
    names = [*numbered("rgb_{}.png", 4), *numbered("alpha_{}.jpg"), *numbered("rgb_opacity_{}.png")]
    assert choose(names).unread == names[4:]


def test_kinds_may_have_folders_of_their_own() -> None:
    names = [f"{kind}/{i:03d}.png" for kind in ("rgb", "normal", "alpha") for i in range(3)]
    found = choose(names)
    assert list(found.views.values()) == names[:3] and list(found.alphas.values()) == names[6:]


def test_a_folder_named_like_a_mask_is_not_taken_for_one() -> None:
    assert len(choose(numbered("a venetian mask/{}.png")).views) == 3


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["a/0.png", "b/0.png"], "views in 2 folders, and one is expected: a, b"),
        (["a/rgb_0.png", "b/0.png"], "views in 2 folders"),
        (["front_0.png", "back_0.png"], "views in 2 series, and one is expected: back_0.png, front_0.png"),
        (["rgb_1.png", "rgb_001.png"], "rgb_001.png and rgb_1.png are both number 1"),
        (["rgb_1.png", "rgb_1.PNG"], "both number 1"),
        (["0.png", "0.png"], "0.png and 0.png are both number 0"),
    ],
)
def test_views_that_cannot_be_told_apart_are_refused(names: list[str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        choose(names)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([], "holds no PNG"),
        (["._0.png"], "holds no PNG"),
        ([*numbered("rgb_{}.jpg"), "x.JPG"], "holds 4 .jpg files: scores need PNG"),
        ([*numbered("rgb_{}.webp"), "sheet_1.png"], "holds 3 .webp files: scores need PNG"),
        (numbered("normal_{}.png"), "holds 3 PNG, such as normal_0.png, but no views"),
        (["front.png"], "holds 1 PNG, such as front.png, but no views: expected rgb_000.png"),
    ],
)
def test_where_there_are_no_views_the_cause_is_said(names: list[str], words: str) -> None:
    with pytest.raises(NoViews, match=words):
        choose(names)


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ([*range(120)], ""),
        ([*range(1, 121)], ""),
        ([*range(0, 360, 3)], ""),
        ([*range(3, 361, 3)], ""),
        ([round(3.6 * i) for i in range(100)], ""),  # azimuths in whole degrees
        ([7], "begins with number 7"),
        ([0], ""),
        ([*range(57), *range(58, 119)], "lacks number 57"),
        ([0, 1, 2, 7], "lacks number 3 and 3 more"),
        ([*range(5, 120)], "begins with number 5"),
        ([0, 1, 10**12], f"lacks number 2 and {10**12 - 3} more"),
    ],
)
def test_a_gap_in_the_numbers_is_seen(numbers: list[int], words: str) -> None:
    assert gap(numbers) == words
