"""What is handed out: videos without names, and a page that works by itself."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from simulated_study import METHODS, TOYBOX

from eval.study import commands as study
from eval.study.answers import collect
from eval.study.assignment import assign
from eval.study.checks import check_volunteers
from eval.study.kit import page
from eval.views.render import write_turntable


def test_the_handout_holds_the_right_videos_and_no_word_about_methods(kit: Path, results: Path) -> None:
    key = pd.read_csv(kit / "key.csv")
    handout = kit / "handout"
    assert {path.name for path in handout.iterdir()} == {"videos", *(f"v0{i}.html" for i in range(1, 7))}
    assert {path.name for path in (handout / "videos").iterdir()} == set(key["video"])
    for row in key.itertuples():
        assert (handout / "videos" / row.video).read_text() == f"{row.method} {row.prompt}"
    text = (handout / "v01.html").read_text()
    assert not [method for method in METHODS if re.search(rf"\b{method}\b", text, re.IGNORECASE)]
    assert "p03" not in set(key["prompt"]) and len(set(key["prompt"])) == 5  # cds failed there


class Elements(HTMLParser):
    """Tags, ids and outside references of a page; an unclosed or crossed element is an error."""

    VOID = frozenset({"meta", "link", "img", "input", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.ids: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        values = dict(attrs)
        self.ids += [values["id"] or ""] if "id" in values else []
        self.links += [values[name] or "" for name in ("src", "href") if name in values]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_sound_self_contained_and_shows_the_plan_in_its_order(kit: Path) -> None:
    text = (kit / "handout/v02.html").read_text()
    parsed = Elements()
    parsed.feed(text)
    assert parsed.open == [] and parsed.links == [] and len(set(parsed.ids)) == len(parsed.ids)
    assert set(re.findall(r'find\("(\w+)"\)', text)) <= set(parsed.ids)
    assert "http" not in text and "$" not in text
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])
    key = pd.read_csv(kit / "key.csv").query("volunteer == 'v02'")
    shown = [(g["group"], p + 1, v) for g in data["groups"] for p, v in enumerate(g["videos"])]
    assert shown == list(key[["group", "position", "video"]].itertuples(index=False, name=None))
    assert list(data["questions"]) == ["q1", "q2", "q3"]


def test_a_prompt_cannot_break_the_page() -> None:
    key = assign(["p01"], ["a", "b"], 1, 1)
    text = page(key, {"p01": '</script><b>"$data" & more'})
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])
    assert data["groups"][0]["prompt"] == '</script><b>"$data" & more'


def test_a_study_is_not_overwritten_and_a_missing_video_is_named(
    kit: Path, results: Path, tmp_path: Path
) -> None:
    common = ["--results", str(results), "--prompts", TOYBOX]
    with pytest.raises(SystemExit, match=r"error: .*key\.csv exists"):
        study.main(["assign", *common, "--methods", "sds", "ism", "--out", str(kit)])
    with pytest.raises(SystemExit, match=r"error: no video .*nobody/p01/0/turntable\.mp4"):
        study.main(["assign", *common, "--methods", "sds", "nobody", "--out", str(tmp_path)])


@pytest.mark.skipif(shutil.which("node") is None, reason="no node to run the page's own function")
def test_what_a_page_saves_names_its_study_and_says_that_a_person_ranked(kit: Path, tmp_path: Path) -> None:
    text = (kit / "handout/v02.html").read_text()
    data = re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1]
    function = re.search(r"^function csv\(\) \{.*?^\}", text, re.DOTALL | re.MULTILINE)[0]
    script = f"""const data = {data}, questions = Object.keys(data.questions);
        const state = {{answers: data.groups.map(() => ({{q1: [0, 1, 2, 3, 4], q2: [4, 3, 2, 1, 0],
        q3: [2, 0, 1, 4, 3]}})), watched: data.groups.map(() =>
        [true, true, false, true, true])}}; {function} process.stdout.write(csv());"""
    ran = subprocess.run(["node", "-e", script], capture_output=True, text=True, check=True)
    (tmp_path / "v02.csv").write_text(ran.stdout)
    ranks, key = collect(kit, [tmp_path / "v02.csv"]), pd.read_csv(kit / "key.csv")
    assert set(ranks["source"]) == {"human"} and set(ranks["study"]) == set(key["study"])
    assert len(ranks) == (4 + 2) * 5 * 3 and f"study {key['study'][0]}, v02" in text
    assert ranks["watched"].astype(int).mean() == 4 / 5


@pytest.fixture(scope="module")
def short_kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of two volunteers, three groups and two checks; each video takes a third of a second."""
    root = tmp_path_factory.mktemp("short")
    frames = np.full((10, 32, 32, 4), 255, np.uint8)
    for method in METHODS[:3]:
        for prompt in [f"p{i:02d}" for i in range(1, 7)]:
            place = root / "views" / method / prompt / "0"
            place.mkdir(parents=True)
            write_turntable(frames, place / "turntable.mp4")
    study.main([
        "assign", "--results", str(root), "--prompts", TOYBOX, "--methods", *METHODS[:3],
        "--volunteers", "2", "--groups", "3", "--out", str(root / "study"),
    ])  # fmt: skip
    return root / "study"


def count_watched(page: Any) -> int:
    return page.evaluate("state.watched[state.at].filter(Boolean).length")


def test_in_a_browser_a_volunteer_ranks_by_touch_and_keys_reloads_saves_and_is_collected(
    chromium: Any, short_kit: Path, tmp_path: Path
) -> None:
    """The order that is asked for in the check; else A, C, B; the group that comes again is ranked alike."""
    key = pd.read_csv(short_kit / "key.csv").query("volunteer == 'v01'")
    repeated = key[key["kind"] == "repeat"].set_index("method")["position"]
    first = key[(key["kind"] == "rank") & (key["prompt"] == key[key["kind"] == "repeat"]["prompt"].iloc[0])]
    turned = {first.set_index("method")["position"][m]: repeated[m] for m in repeated.index}
    context = chromium.new_context(
        viewport={"width": 375, "height": 740}, has_touch=True, accept_downloads=True
    )
    page = context.new_page()
    page.goto((short_kit / "handout/v01.html").as_uri())
    for group in range(1, 6):
        kind = key[key["group"] == group]["kind"].iloc[0]
        assert page.inner_text("#count").startswith(f"Group {group} of 5")
        assert page.evaluate("document.documentElement.scrollWidth") <= 375
        page.wait_for_function("state.watched[state.at].every(Boolean)")
        order = "CB" if kind == "check" else "AC"
        if kind == "repeat":
            order = "".join("ABC"[turned[place] - 1] for place in (1, 3))
        for letter in order:  # by touch, by the letter's own key, and by Tab and Space
            page.tap(f"#q1 button:nth-child({ord(letter) - 64})")
        page.evaluate("document.activeElement.blur()")
        for letter in order:
            page.keyboard.press(letter.lower())
        for letter in order:
            page.focus(f"#q3 button:nth-child({ord(letter) - 64})")
            page.keyboard.press("Space")
        assert page.is_enabled("#next")
        if group == 2:
            page.reload()
            assert (
                page.inner_text("#count").startswith("Group 2 of 5, 2 finished") and count_watched(page) == 3
            )
        page.click("#next")
    with page.expect_download() as download:
        page.click("#save")
    download.value.save_as(tmp_path / "v01.csv")
    context.close()
    ranks = collect(short_kit, [tmp_path / "v01.csv"])
    assert len(ranks) == 5 * 3 * 3 and set(ranks["watched"]) == {"1"} and set(ranks["source"]) == {"human"}
    checked = check_volunteers(ranks)
    assert checked.loc[0, ["agreement", "attention", "watched", "failed"]].tolist() == [1, 1, 1, 0]
