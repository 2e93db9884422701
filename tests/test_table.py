"""Table 1: what it reads, what it prints, and what it refuses."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import simulated_run as simulated
import yaml

from eval import table
from eval.collection import read_run
from eval.columns import columns, named, primary_columns, read_titles, untested_columns
from eval.distances import MEASURES, measure
from eval.layout import mark, number, paper_number, printed
from eval.paper import paper_values, read_paper

PAPER = Path("baselines/paper.yaml")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The tables folder of the simulated run (ISM failed on p03), made once for each scale."""
    folders: dict[str, Path] = {}

    def make(scale: str) -> Path:
        if scale not in folders:
            root = simulated.write_run(tmp_path_factory.mktemp(scale), known=scale == "mini")
            table.main(simulated.arguments(root, scale))
            folders[scale] = root / "tables"
        return folders[scale]

    return make


@pytest.fixture
def mini(made: Callable[[str], Path]) -> Path:
    return made("mini")


@pytest.fixture
def paper_scale(made: Callable[[str], Path]) -> Path:
    return made("paper")


def lines_of(page: str) -> dict[str, list[str]]:
    """The first row of each title in a pipe table: its cells after the guidance."""
    rows: dict[str, list[str]] = {}
    for line in page.splitlines():
        cells = [text.strip() for text in line.strip("|").split(" | ")]
        rows.setdefault(cells[0].split(" <sup>")[0].strip(), cells[2:])
    return rows


def columns_of(page: str) -> dict[str, dict[str, str]]:
    """The first row of each title: its cells by the column's name."""
    rows = lines_of(page.replace("\\", ""))
    names = [re.sub(" [↑↓]", "", name) for name in rows["Method"]]
    return {title: dict(zip(names, cells, strict=False)) for title, cells in rows.items()}


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


def test_every_pair_is_compared_once_and_holm_is_over_the_primary_metrics_against_the_reference(
    mini: Path,
) -> None:
    read = pd.read_csv(mini / "comparisons.csv")
    clip = read[read["metric"] == "clip"]
    assert (
        len(clip) == 10
        and len({frozenset(pair) for pair in zip(clip["method"], clip["against"], strict=True)}) == 10
    )
    family = read[read["holm"].notna()]
    assert set(family["against"]) == {"sctd"} and set(family["metric"]) == {"clip", "toy_reward", "iou"}
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
    rows = lines_of((mini / "table1.md").read_text())
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


# What is printed ------------------------------------------------------------------------------------------


def test_bold_is_the_best_that_differs_from_all_others_and_nothing_else(paper_scale: Path) -> None:
    rows = columns_of((paper_scale / "table1.md").read_text())
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
    [(1, 0.049, "up", "▲"), (-1, 0.049, "up", "▼"), (1, 0.049, "down", "▼"), (-1, 0.049, "down", "▲"),
     (1, 0.05, "up", ""), (0, 0.001, "up", ""), (1, float("nan"), "up", "")],
)  # fmt: skip
def test_a_mark_needs_a_holm_p_below_five_percent_and_a_difference(
    difference: float, holm: float, better: str, sign: str
) -> None:
    assert mark({"difference": difference, "p": 0.001, "holm": holm}, {"better": better}) == sign


def test_marks_say_better_or_worse_than_the_reference(paper_scale: Path) -> None:
    page = (paper_scale / "table1.md").read_text()
    rows = columns_of(page)
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
    rows = columns_of(page)
    assert rows["SDS"]["CLIP"].endswith("<br>paper 28.47")
    assert rows["SCTD"]["Time (s)"].endswith("paper 2280.0")
    assert "shared 3DGS trunk" in page
    read = pd.read_csv(paper_scale / "table1.csv").set_index("method")
    assert read.loc["gcs", "clip_paper"] == 30.73 and read.loc["cds", "seconds_paper"] == 140 * 60


def test_a_stand_in_never_shows_the_papers_figure(paper_scale: Path) -> None:
    rows = columns_of((paper_scale / "table1.md").read_text())
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
    (sds,) = {tip for tip in tips if tip.startswith("CLIP of SDS") and "against" in tip}
    for words in ("95 % interval", "n = 7 prompts", "adjusted p = ", "protocol a1b2: clip_b32_64"):
        assert words in sds
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
    found = subprocess.run([*command, f"file://{tmp_path}/page.html"], capture_output=True, text=True,
                           check=True)  # fmt: skip
    up, down, names = re.search("<body>(.*?)</body>", found.stdout, re.S)[1].split("|")  # type: ignore[index]
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
    rows = lines_of((root / "tables/table1.md").read_text())
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


# The data files -------------------------------------------------------------------------------------------


def test_every_metric_is_described_and_what_it_names_exists() -> None:
    known = columns()
    paper = {key for entry in read_paper(PAPER).values() for key in entry}
    for metric, spec in known.items():
        assert {"name", "digits", "note"} <= set(spec), metric
        assert spec.get("better", "up") in ("up", "down")
        assert named(spec, "yields_to") | named(spec, "untested_with") <= set(known)
        assert {spec[key] for key in ("paper", "order") if key in spec} <= paper
        assert ("better" in spec) or not spec.get("primary")
    assert {m for m, spec in known.items() if spec.get("pooled")} == set(MEASURES)


def test_each_scale_has_one_headline_fid_and_one_janus() -> None:
    bare = primary_columns({"clip", "fid_clip", "janus", "janus_index", "kid_clip_pp"})
    assert bare == ["clip", "fid_clip", "kid_clip_pp", "janus"]
    paper = primary_columns({"clip", "fid_clip", "fid_pytorch", "fid_clean", "janus_index", "kid_pp"})
    assert paper == ["clip", "fid_pytorch", "fid_clean", "kid_pp", "janus_index"]


def test_beside_a_known_scene_one_distance_is_shown_and_none_is_tested() -> None:
    present = {"clip", "fid_clip", "kid_clip_pp", "cmmd_pp", "iou", "seconds"}
    assert primary_columns(present) == ["clip", "fid_clip", "iou", "seconds"]
    assert untested_columns(present) >= {"fid_clip", "kid_clip_pp", "cmmd_pp", "seconds"}
    assert not {"fid_clip", "kid_clip_pp", "cmmd_pp"} & untested_columns(present - {"iou"})
    assert not {"clip", "iou"} & untested_columns(present)


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
