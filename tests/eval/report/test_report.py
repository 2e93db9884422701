"""The report of a run: what it says of a finished run, of one that is under way, and within which size."""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import simulated_run as simulated
import yaml
from PIL import Image

from eval.ablation import SPACES
from eval.report import build, watch
from eval.report.ablations import find_axis
from eval.report.content import Asset, read_content
from eval.report.front import facts
from eval.report.pictures import shrink
from eval.tables import table1 as table
from eval.variants import read_ablation
from segmentdreamer.records import shipped


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with tables; ISM failed on p03, a prompt's text is hostile, sctd's p02 has no views yet."""
    root = simulated.write_run(tmp_path_factory.mktemp("run"))
    simulated.add_views(root)
    table.main(simulated.arguments(root))
    texts = {f"texts.{p}.prompt": f"a thing number {p}" for p in simulated.PROMPTS}
    texts |= {"texts.p01.prompt": '<script>alert("x")</script> & </script>', "texts.p01.class": "duck"}
    (root / "settings.yaml").write_text(yaml.safe_dump({"scale": "mini", **texts}))
    asked = {"methods": [*simulated.METHODS], "prompts": [*simulated.PROMPTS], "seeds": 1}
    (root / "selection.yaml").write_text(yaml.safe_dump(asked))
    (root / "views/sctd/p02/0/views.zip").unlink()
    (root / "assets/sctd/p01/0/asset.ply").write_bytes(os.urandom(3000))
    (root / "assets/sds/p01/0/asset.ply").write_bytes(os.urandom(3000))
    variant = root / "views/sctd/N~3/redraw_t~True/p01/0"
    variant.mkdir(parents=True)
    (variant / "views.zip").write_bytes((root / "views/sctd/p01/0/views.zip").read_bytes())
    return root


@pytest.fixture(scope="module")
def report(run: Path) -> Path:
    build.main([str(run)])
    return run / "report"


def data_of(page: Path) -> dict:
    return json.loads(re.findall(r'id="data">(.*?)</script>', page.read_text(), re.S)[0])


def test_the_front_says_what_is_missing_and_what_failed(report: Path) -> None:
    text = (report / "index.html").read_text()
    assert "1 assets that were asked for are not made yet" in text and "sctd/p02/0" in text
    assert f"failed: {simulated.REASON}" in text


def test_every_figure_of_table_1_leads_to_the_assets_behind_it(report: Path) -> None:
    text = (report / "index.html").read_text().split("Against the paper")[0]
    cells = re.findall(r"<td>(.*?)</td>", text, re.S)
    figures = [cell for cell in cells if re.match(r"(<a[^>]*>)?[−\d]", cell)]
    assert len(figures) > 30 and all("gallery.html#method=" in figure for figure in figures)


def test_the_front_counts_the_assets_of_each_commit_and_marks_changed_files(tmp_path: Path) -> None:
    root = simulated.write_run(tmp_path, failed=())
    simulated.add_views(root)
    made = sorted(root.glob("assets/*/*/*/provenance.json"))
    for number, path in enumerate(made):
        commit = "a" * 40 if number < 2 else "b" * 40
        path.write_text(json.dumps({"commit": commit, "dirty": number == 0}))
    told = facts(read_content(root))
    counted = (
        f"aaaaaaa (1 assets), aaaaaaa* (1 assets), bbbbbbb ({len(made) - 2} assets), * with edited files"
    )
    assert told["Commit"] == counted
    for path in made:
        path.write_text(json.dumps({"commit": "c" * 40, "dirty": False}))
    assert facts(read_content(root))["Commit"] == "ccccccc"


def test_gallery_and_comparison_begin_with_the_metrics_that_are_tested(run: Path, report: Path) -> None:
    tested = json.loads((run / "tables/table1.json").read_text())["confirmatory"]
    for page in ("gallery.html", "compare.html"):
        shown = [metric["id"] for metric in data_of(report / page)["metrics"]]
        assert tested and shown[: len(tested)] == tested, page


def test_no_prompt_is_read_as_markup(report: Path) -> None:
    for page in report.rglob("*.html"):
        assert "<script>alert" not in page.read_text(), page
    prompts = {prompt["id"]: prompt for prompt in data_of(report / "gallery.html")["prompts"]}
    assert prompts["p01"] == {
        "id": "p01",
        "text": '<script>alert("x")</script> & </script>',
        "category": "duck",
    }


def test_every_asset_has_a_page_a_strip_and_its_values_and_a_failed_one_says_why(report: Path) -> None:
    data = data_of(report / "gallery.html")
    assert len(data["assets"]) == len(simulated.PROMPTS) * 7 - 1
    for asset in data["assets"]:
        page = (report / f"assets/{asset['slug']}.html").read_text()
        assert (report / f"img/{asset['slug']}.webp").exists() != bool(asset["failed"])
        assert (simulated.REASON in page) == bool(asset["failed"])
    assert len([*(report / "assets").glob("sctd-N-3-*.html")]) == 1


def test_the_embedded_splats_are_the_bytes_that_were_scored(run: Path, report: Path) -> None:
    text = (report / "data/sctd-p01-0.js").read_text()
    packed = re.fullmatch(r'receive\("sctd-p01-0", "(.*)"\);\n', text)
    assert packed
    assert gzip.decompress(base64.b64decode(packed[1])) == (run / "assets/sctd/p01/0/asset.ply").read_bytes()


def test_splats_that_find_no_room_stay_out_and_the_size_holds(run: Path, tmp_path: Path) -> None:
    content = read_content(run)
    build.build(content, tmp_path, compact=True, limit=10**9)
    size = build.folder_size(tmp_path)
    left_out = build.build(content, tmp_path, compact=True, limit=size - 1)
    assert len(left_out) == 1 and build.folder_size(tmp_path) < size


def test_a_run_under_way_has_a_report_without_tables(tmp_path: Path) -> None:
    simulated.add_views(simulated.write_run(tmp_path / "run"))
    build.main([str(tmp_path / "run"), "--out", str(tmp_path / "out")])
    text = (tmp_path / "out/index.html").read_text()
    assert "Table 1 is not made yet" in text and (tmp_path / "out/gallery.html").exists()


def test_no_folder_of_a_run_is_one_line(tmp_path: Path) -> None:
    for program in (build.main, watch.main):
        with pytest.raises(SystemExit, match=f"error: no run at {tmp_path}"):
            program([str(tmp_path)])


def test_where_an_ablations_axis_is_measured_the_slider_goes_over_what_was_varied() -> None:
    spec = read_ablation(shipped(SPACES), "nfe")
    known = {"method": ["sds", "sds", "sctd", "sctd"], "train.stretch": ["0.5", "1.0", "0.5", "1.0"]}
    assert spec["x"] == "nfe" and find_axis(spec, pd.DataFrame(known)) == "train.stretch"
    assert find_axis({**spec, "x": "train.stretch"}, pd.DataFrame(known)) == "train.stretch"


def test_names_of_pages_tell_variants_apart() -> None:
    names = {Asset(Path(), f"sctd/a~{'x' * 80}{end}", "p01", 0).slug for end in ("1", "2", "-2", "_2")}
    assert len(names) == 4 and all(re.fullmatch(r"[\w.-]+", name) and len(name) < 80 for name in names)


def test_watch_counts_what_is_done_tells_the_time_left_and_the_cost(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    costs = sorted((run / "assets").rglob("cost.json"))
    for number, path in enumerate(costs):
        os.utime(path, (1000 + 60 * number,) * 2)
    watch.main([str(run), "--once"])
    told = capsys.readouterr().out
    assert re.search(r"assets +█+░ 39 of 40, 0:01:00 left", told)
    assert re.search(r"tables +Table 1 done, claims to do", told)
    seconds = sum(json.loads(path.read_text())["seconds"] for path in costs)
    assert f"cost    {watch.told(seconds)} of optimization" in told


def test_a_picture_in_fewer_colors_keeps_its_paper_white_and_its_colors(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    picture = np.full((300, 300, 3), 255, np.uint8)
    picture[100:200, 100:200] = np.linspace(0, 250, 100)[:, None, None] + rng.integers(0, 5, (100, 100, 3))
    path = tmp_path / "sheet.png"
    Image.fromarray(picture).save(path)
    size = path.stat().st_size
    shrink(path)
    with Image.open(path) as few:
        kept = np.asarray(few.convert("RGB")).astype(float)
    assert path.stat().st_size < size / 2 and (kept[:90] == 255).all()
    assert np.abs(kept - picture).mean() < 2
