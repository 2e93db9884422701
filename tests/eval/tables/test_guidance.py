"""Every row and figure says under which guidance its assets were made, as their own records tell."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import simulated_run as simulated
from matplotlib.figure import Figure
from matplotlib.text import Text

from eval.guidance import COLUMNS, Guidance, of_record, read_guidance, tell, tell_each
from eval.metrics import control_title
from eval.plots import figures
from eval.plots.fonts import pieces
from eval.plots.sheet import headings
from eval.run import guidance_of
from eval.tables import table1 as table

TOLD = {
    "SDS": "CFG 100, no negative",
    "ISM": "Perp-Neg 7.5",
    "CDS": "CFG 40 → 20, no negative",
    "GCS": "Perp-Neg 7.5, BEG",
    "SCTD": "Perp-Neg 7.5",
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = simulated.write_run(tmp_path_factory.mktemp("run"), failed=())
    table.main(simulated.arguments(root))
    return root


def write(folder: Path, record: dict) -> Path:
    folder.mkdir(parents=True)
    (folder / "provenance.json").write_text(json.dumps(record))
    return folder


# The records ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("record", "text"),
    [
        (simulated.guided(7.5, perp_neg=False), "CFG 7.5"),
        (simulated.guided(7.5), "Perp-Neg 7.5"),
        (simulated.guided(7.5, beg=True), "Perp-Neg 7.5, BEG"),
        (simulated.guided(40.0, perp_neg=False, omega_end=20.0), "CFG 40 → 20"),
        (simulated.guided(7.5, perp_neg=False, omega_end=None), "CFG 7.5"),
        (simulated.guided(7.5, perp_neg=False, omega_end=7.5), "CFG 7.5"),
        ({"config": simulated.guided(0)["config"], "hyper_parameters": {}}, "Perp-Neg"),
        ({"made by": "someone else's program"}, "–"),
    ],
)
def test_the_record_says_kind_omega_with_its_end_and_brightness(
    record: dict, text: str, tmp_path: Path
) -> None:
    found = of_record(write(tmp_path / "asset", record) / "provenance.json")
    assert tell([found], [found]) == text


def test_what_generate_writes_is_understood(tmp_path: Path) -> None:
    import dataclasses

    from segmentdreamer.config import load_config
    from segmentdreamer.methods import hyper_parameters, load_method, trunk_settings

    config = load_config("mini", trunk_settings("gcs"))
    chosen = hyper_parameters(load_method("gcs", {"omega": 3.5}))
    record = {"config": dataclasses.asdict(config), "hyper_parameters": chosen}
    found = of_record(write(tmp_path / "asset", record) / "provenance.json")
    assert found == Guidance("CFG", "3.5", "BEG", "")


def test_a_negative_prompt_is_told_where_some_have_none() -> None:
    some, none = Guidance("CFG", "7.5", "", "ugly"), Guidance("CFG", "7.5")
    assert tell_each({"a": some, "b": none, "c": Guidance()}) == {
        "a": "CFG 7.5",
        "b": "CFG 7.5, no negative",
        "c": "–",
    }
    assert tell_each({"a": none, "b": none}) == {"a": "CFG 7.5", "b": "CFG 7.5"}


def test_a_curve_says_all_that_its_points_were_made_under() -> None:
    points = [Guidance("CFG", omega, brightness) for omega, brightness in (("3.5", ""), ("15", "BEG"))]
    assert tell(points, points) == "CFG 3.5 to 15, no BEG or BEG"
    assert tell(points[:1], points) == "CFG 3.5"


@pytest.mark.parametrize(
    "other",
    [
        simulated.guided(100.0),
        simulated.guided(7.5, perp_neg=False),
        simulated.guided(7.5, beg=True),
        simulated.guided(7.5, negative="blurry"),
    ],
)
def test_two_settings_in_one_row_are_refused_by_both_records(tmp_path: Path, other: dict) -> None:
    root = simulated.write_run(tmp_path, features=False)
    (root / "assets/sctd/p05/0/provenance.json").write_text(json.dumps(other))
    with pytest.raises(SystemExit) as stopped:
        table.main(simulated.arguments(root))
    message = str(stopped.value)
    assert message.startswith("error: two settings in one table: ") and "\n" not in message
    assert "sctd/p01/0/provenance.json has Perp-Neg 7.5" in message and "sctd/p05/0/provenance" in message


def test_assets_without_records_do_not_count(tmp_path: Path) -> None:
    known = write(tmp_path / "a", simulated.guided(7.5))
    foreign = write(tmp_path / "b", {"asset_sha256": "0"})
    assert read_guidance([foreign, known, tmp_path / "none"]).omega == "7.5"
    assert read_guidance([foreign]) == read_guidance([]) == Guidance()


# Tables and figures ---------------------------------------------------------------------------------------


def guidance_of_rows(page: str) -> dict[str, str]:
    cells = [[text.strip() for text in line.split("|")[1:3]] for line in page.splitlines() if "|" in line]
    return {title: text for title, text in reversed(cells)}


@pytest.mark.parametrize("name", ["table1.md", "table1_extended.md"])
def test_every_row_has_its_guidance_and_controls_a_dash(results: Path, name: str) -> None:
    page = (results / "tables" / name).read_text()
    found = guidance_of_rows(page)
    assert found["Method"] == "Guidance" and {title: found[title] for title in TOLD} == TOLD
    assert {found[control_title(control)] for control in simulated.CONTROLS} == {"–"}
    assert "- Guidance: as the assets' records tell" in page


@pytest.mark.parametrize("name", ["table1", "table1_extended"])
def test_the_csv_has_it_in_columns(results: Path, name: str) -> None:
    read = pd.read_csv(results / f"tables/{name}.csv", dtype=str, keep_default_na=False).set_index("method")
    assert read.loc["gcs", list(COLUMNS)].tolist() == ["Perp-Neg", "7.5", "BEG", "ugly"]
    assert read.loc["cds", list(COLUMNS)].tolist() == ["CFG", "40 → 20", "", ""]
    assert read.loc["start", list(COLUMNS)].tolist() == ["", "", "", ""]


def test_latex_and_the_page_say_it_too(results: Path) -> None:
    assert r"CDS & CFG 40 $\rightarrow$ 20, no negative &" in (results / "tables/table1.tex").read_text()
    assert '<td data-value="Perp-Neg 7.5, BEG">' in (results / "tables/table1.html").read_text()


def test_every_figure_says_it_of_every_method(results: Path) -> None:
    for name, figure in figures.draw_all(results / "tables").items():
        shown = texts_of(figure)
        for title, text in TOLD.items():
            assert f"{title}, {text}" in shown or f"{title}: {text}" in shown, name


def texts_of(figure: Figure) -> str:
    """All that is written on a figure, lines joined."""
    shown = "; ".join(text.get_text() for text in figure.findobj(Text))
    return " ".join(shown.replace("\N{NO-BREAK SPACE}", " ").split())


def test_the_contact_sheet_says_it_above_each_column(results: Path) -> None:
    guidance = {m: guidance_of(results, m, simulated.PROMPTS, [0]) for m in ("start", "cds", "gcs")}
    assert headings(guidance, {"cds": "CDS", "gcs": "GCS"}) == [
        "zero optimization steps",
        "CDS, CFG 40 → 20, no negative",
        "GCS, Perp-Neg 7.5, BEG",
    ]
    for letter in "→–ωé":
        [(letters, piece)] = pieces(letter, 12)
        assert piece == letter and bytes(letters.getmask(letter)) != bytes(letters.getmask("\uffff"))


def test_a_foreign_method_shows_a_dash_and_its_figures_its_name_alone(tmp_path: Path) -> None:
    root = simulated.write_run(tmp_path, features=False, failed=())
    for record in root.glob("assets/cds/*/*/provenance.json"):
        record.unlink()
    shutil.rmtree(root / "assets/ism")
    table.main(simulated.arguments(root))
    found = guidance_of_rows((root / "tables/table1.md").read_text())
    assert found["CDS"] == found["ISM"] == "–" and found["GCS"] == TOLD["GCS"]
    legend = figures.draw_all(root / "tables")["quality_nfe"].legends[0]
    assert "CDS" in [text.get_text() for text in legend.get_texts()]


# Another primary method -----------------------------------------------------------------------------------


def test_a_table_without_sctd_never_speaks_of_it(tmp_path: Path) -> None:
    root = simulated.write_run(tmp_path, failed=())
    shutil.copytree(root / "scores/ism", root / "scores/shuffled")
    arguments = simulated.choose(simulated.arguments(root), ["ism", "sds"])
    arguments.insert(arguments.index("--controls") + 1, "shuffled")
    table.main(arguments)
    page = (root / "tables/table1.md").read_text()
    assert "ISM's assets under other prompts" in page and "worse than ISM" in page
    for path in (root / "tables").iterdir():
        assert "sctd" not in path.read_text().lower(), path.name
    for figure in figures.draw_all(root / "tables").values():
        assert "SCTD" not in texts_of(figure)
