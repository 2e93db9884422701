"""Table 1 as it is printed: rows, marks, bold, caption, the paper's figures, and the page."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import simulated_run as simulated

from eval.tables import table1 as table
from eval.tables.layout import mark, number, paper_number, printed
from eval.tables.paper import paper_values, read_paper

PAPER = Path("baselines/paper.yaml")


def test_bold_is_the_best_that_differs_from_all_others_and_nothing_else(paper_scale: Path) -> None:
    rows = simulated.columns_of((paper_scale / "table1.md").read_text())
    fid = {title: cells["FID (CLIP)"] for title, cells in rows.items() if "FID (CLIP)" in cells}
    assert fid["SCTD"].startswith("**0.0** ") and fid["SCTD"].endswith(" a")
    assert fid["ISM"].endswith(" b") and fid["CDS"].endswith(" e")
    assert [title for title in fid if "**" in fid[title]] == ["SCTD"]
    # Seven prompts cannot tell two methods apart by sign flips over ten pairs: one letter, nothing bold.
    assert all(rows[title]["CLIP"].split("<br>")[0].endswith(" a") for title in ("SDS", "SCTD"))
    assert not [title for title, cells in rows.items() if "**" in cells.get("CLIP", "")]


def test_rows_are_the_methods_as_asked_for_then_the_controls(mini: Path) -> None:
    read = pd.read_csv(mini / "table1.csv")
    assert read["method"].tolist() == [*simulated.METHODS, *simulated.CONTROLS]
    lines = (mini / "table1.md").read_text().splitlines()
    titles = [line.split(" | ")[0].removeprefix("| ").split(" <sup>")[0] for line in lines if "| " in line]
    methods, controls = read["title"][:5].tolist(), read["title"][5:].tolist()
    found = [title for title in titles if title in (*methods, *controls)]
    assert found[:12] == [*methods, *methods, *controls]


@pytest.mark.parametrize(
    ("difference", "holm", "better", "sign"),
    [
        (1, 0.049, "up", "▲"),
        (-1, 0.049, "up", "▼"),
        (1, 0.049, "down", "▼"),
        (-1, 0.049, "down", "▲"),
        (1, 0.05, "up", ""),
        (0, 0.001, "up", ""),
        (1, float("nan"), "up", ""),
    ],
)
def test_a_mark_needs_a_holm_p_below_five_percent_and_a_difference(
    difference: float, holm: float, better: str, sign: str
) -> None:
    assert mark({"difference": difference, "p": 0.001, "holm": holm}, {"better": better}) == sign


def test_marks_say_better_or_worse_than_the_reference(paper_scale: Path) -> None:
    page = (paper_scale / "table1.md").read_text()
    rows = simulated.columns_of(page)
    assert "▼" in rows["SDS"]["FID (CLIP)"] and "▼" in rows["CDS"]["FID (CLIP)"]
    assert "▼" not in rows["SCTD"]["FID (CLIP)"]
    # Seven prompts cannot reach p < .05 by sign flips after Holm, and the caption says so.
    assert not re.search("[▲▼]", rows["SDS"]["CLIP"])
    assert "The smallest p that sign flips can attain is 0.016: 0.16 after Holm over a column's pairs" in page


def test_failures_are_footnotes_and_controls_stand_below_a_rule(mini: Path) -> None:
    page = (mini / "table1.md").read_text()
    assert "| ISM <sup>1</sup> |" in page
    assert f"\n1. ISM, p03, seed 0: failed ({simulated.REASON})" in page
    assert page.index("*All 8 prompts, failed assets counted as zero") < page.index("*Controls*")
    assert page.index("*Controls*") < page.index("| zero optimization steps |")


def test_the_caption_names_scale_scorer_protocols_prompts_and_seeds(mini: Path) -> None:
    caption = (mini / "table1.md").read_text().splitlines()[0].replace("\\", "")
    assert caption.startswith("**Table 1.** Scale mini: ")
    for words in ("Student's t over prompts", "7 prompts, 1 seed", "toybox-clip", "1 asset(s) failed",
                  "7 of 8 prompts",
                  "Protocols (a1b2): clip: clip_b32_64; toy_reward: toy_64"):  # fmt: skip
        assert words in caption


def test_at_another_scale_the_papers_figures_are_not_shown_only_its_order(mini: Path) -> None:
    page, html = (mini / "table1.md").read_text(), (mini / "table1.html").read_text()
    for figure in ("28.47", "140.84", "30.88", "paper 28"):
        assert figure not in page and figure not in html
    order = "| CLIP | SCTD > ISM > GCS > CDS > SDS | SCTD > GCS > CDS > ISM > SDS | 0.60 |"
    assert order in page.replace("\\", "")
    read = pd.read_csv(mini / "table1.csv").set_index("method")
    assert "clip_paper" not in read and read.loc["sds", "clip_paper_rank"] == 5


def test_at_the_papers_scale_its_figures_stand_beside_ours_with_what_differs(paper_scale: Path) -> None:
    page = (paper_scale / "table1.md").read_text()
    rows = simulated.columns_of(page)
    assert rows["SDS"]["CLIP"].endswith("<br>paper 28.47")
    assert rows["SCTD"]["Time (s)"].endswith("paper 2280.0")
    assert "shared 3DGS trunk" in page
    read = pd.read_csv(paper_scale / "table1.csv").set_index("method")
    assert read.loc["gcs", "clip_paper"] == 30.73 and read.loc["cds", "seconds_paper"] == 140 * 60


def test_a_stand_in_never_shows_the_papers_figure(paper_scale: Path) -> None:
    rows = simulated.columns_of((paper_scale / "table1.md").read_text())
    stand_ins = [cells.get(name, "") for cells in rows.values() for name in ("ToyReward", "FID (CLIP)")]
    assert any(stand_ins) and not [cell for cell in stand_ins if "paper" in cell]
    assert not {"toy_reward_paper", "fid_clip_paper"} & set(pd.read_csv(paper_scale / "table1.csv"))


def test_figures_with_failures_at_the_floor_are_not_set_beside_the_papers(paper_scale: Path) -> None:
    page = (paper_scale / "table1.md").read_text()
    assert "paper 2" not in page[page.index("*All 8 prompts") : page.index("*Controls*")]


class Cells(HTMLParser):
    """The cells of every table, their tooltips, and all links."""

    def __init__(self) -> None:
        super().__init__()
        self.cells: list[dict[str, str | None]] = []
        self.links: list[str] = []
        self.sources: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        if tag == "td":
            self.cells.append(found)
        if tag == "a":
            self.links.append(str(found["href"]))
        if tag in ("script", "img", "link") and (found.get("src") or found.get("href")):
            self.sources.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def page(mini: Path) -> Cells:
    parser = Cells()
    parser.feed((mini / "table1.html").read_text())
    return parser


def test_the_page_has_every_figure_with_n_interval_p_and_protocol_in_its_tooltip(
    mini: Path, page: Cells
) -> None:
    tips = [str(cell["title"]) for cell in page.cells if cell.get("title")]
    of_sds = {
        name: {tip for tip in tips if tip.startswith(f"{name} of SDS") and "against" in tip}
        for name in ("ToyReward", "CLIP")
    }
    (reward,), (clip,) = of_sds.values()
    for words in ("95 % interval", "n = 7 prompts", "adjusted p = ", "protocol a1b2: toy_64"):
        assert words in reward
    assert "p = " in clip and "adjusted" not in clip  # no confirmatory metric of this world
    read = pd.read_csv(mini / "table1.csv")
    values = {cell.get("data-value") for cell in page.cells}
    assert {f"{value:.4g}" for value in read["clip"]} <= {f"{float(v):.4g}" for v in values if is_number(v)}


def is_number(text: str | None) -> bool:
    return bool(text) and re.fullmatch(r"-?[\d.]+(e-?\d+)?", str(text)) is not None


def test_the_page_needs_no_other_file_and_its_links_lead_to_files(mini: Path, page: Cells) -> None:
    assert not page.sources
    assert "../views/sctd/p01/0/turntable.mp4" in page.links
    assert "../assets/sctd/p01/0/provenance.json" in page.links
    assert all((mini / link).exists() for link in page.links)
    assert not [link for link in page.links if "ism/p03/0/turntable" in link]
    failed = [cell for cell in page.cells if simulated.REASON in str(cell.get("title"))]
    assert len(failed) == 1 and failed[0]["data-value"] == ""


def test_the_page_is_sortable_and_follows_the_readers_colors(mini: Path) -> None:
    html = (mini / "table1.html").read_text()
    assert "prefers-color-scheme: dark" in html and "aria-sort" in html
    assert html.count("<th ") == html.count("<button>")


CLICKS = """<script>
const named = () => [...document.querySelector('table').tBodies]
  .map(body => [...body.rows].map(row => row.cells[0].firstChild.data.trim()).join()).join('; ');
const click = n => { document.querySelectorAll('th button')[n].click(); return named(); };
document.body.textContent = [click(2), click(2), click(0)].join('|');
</script>"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")
def test_a_browser_sorts_each_block_by_the_column_clicked(mini: Path, tmp_path: Path) -> None:
    import subprocess

    (tmp_path / "page.html").write_text((mini / "table1.html").read_text() + CLICKS)
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    found = subprocess.run(
        [*command, f"file://{tmp_path}/page.html"], capture_output=True, text=True, check=True
    )
    up, down, names = re.search("<body>(.*?)</body>", found.stdout, re.S)[1].split("|")
    assert up.startswith("SDS,CDS,GCS,ISM,SCTD; All 8 prompts")
    assert up.endswith("Controls,zero optimization steps,true scene (3D ceiling)")
    assert down.startswith("SCTD,ISM,GCS,CDS,SDS; ") and names.startswith("CDS,GCS,ISM,SCTD,SDS; ")


def test_long_times_are_printed_in_minutes() -> None:
    means = pd.DataFrame({"metric": ["seconds", "seconds"], "mean": [2280.0, 24.0]})
    spec = printed("seconds", means)
    assert spec["name"] == "Time (min)" and number(2280.0, spec) == "38.0"
    assert paper_number(paper_values(read_paper(PAPER), "seconds"), "sctd", spec) == "38.0"
    assert printed("seconds", means[1:])["name"] == "Time (s)"


def test_a_method_that_never_succeeded_is_a_row_of_dashes(tmp_path: Path) -> None:
    root = simulated.write_run(tmp_path, failed=())
    for path in (root / "scores/cds").rglob("protocol.json"):
        path.write_text(json.dumps({"status": "failed", "reason": "no such loss"}))
        (path.parent / "scores.csv").write_text("view,metric,value\n")
        np.savez(path.parent / "features.npz")
    table.main(simulated.arguments(root))
    rows = simulated.lines_of((root / "tables/table1.md").read_text())
    assert set(rows["CDS"][:-2]) == {"–"} and rows["SDS"][0] != "–"
    read = pd.read_csv(root / "tables/table1.csv").set_index("method")
    assert read.loc["cds", "failed"] == 8 and read.loc["cds", "clip_floor"] == pytest.approx(
        read.loc["start", "clip"], rel=1e-4
    )


def test_one_method_alone_makes_a_table_without_tests(tmp_path: Path) -> None:
    root = simulated.write_run(tmp_path, failed=(), features=False)
    arguments = simulated.arguments(root)
    start, end = arguments.index("--methods"), arguments.index("--controls")
    table.main([*arguments[: start + 1], "gcs", *arguments[end:]])
    page = (root / "tables/table1.md").read_text()
    assert "| GCS | Perp-Neg 7.5, BEG | 89" in page and "Holm" not in page and "letter" not in page


def test_several_seeds_are_averaged_within_prompts(tmp_path: Path) -> None:
    root = simulated.write_run(tmp_path, seeds=2, failed=("ism", "p03", 1), features=False)
    table.main(simulated.arguments(root, seeds=2))
    read = pd.read_csv(root / "tables/table1.csv").set_index("method")
    assert read.loc["ism", "clip_n"] == 8 and read.loc["ism", "failed"] == 1
    assert read.loc["ism", "clip_floor"] < read.loc["ism", "clip"]
