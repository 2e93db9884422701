"""The published folder: what it holds, where its links lead, and what it says of the machine."""

from __future__ import annotations

import json
import re
import shutil
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import simulated_run as simulated
from PIL import Image

from eval.report import build, published
from eval.report.content import STUDIED
from eval.tables import table1 as table
from segmentdreamer.records import describe_machine, processor_model

RECORD = {
    "config": {"train": {"steps": 4}},
    "hyper_parameters": {},
    "asset_sha256": "0",
    "prompt": "x",
    "weights_sha256": "1",
    "versions": {},
    "machine": {"processor": "Model X"},
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with its table and page; what else is published is a stand-in."""
    root = simulated.write_run(tmp_path_factory.mktemp("run"), failed=())
    simulated.add_views(root)
    for path in root.rglob("provenance.json"):
        path.write_text(json.dumps(RECORD))
    table.main(simulated.arguments(root))
    (root / "tables/claims.json").write_text('{"claims": []}')
    Image.new("RGB", (20, 20), "red").save(root / "tables/sheet.png")
    for name in published.TABLES:
        if not (root / "tables" / name).exists():
            (root / "tables" / name).write_text("x")
    return root


def links_of(page: Path) -> list[str]:
    """Where the links, pictures and scripts of an HTML or Markdown page lead, pages on the web left out."""
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".md":
        found = re.findall(r"(?<!\\)\]\(([^)]+)\)", text)
    else:
        found = []
        parser = HTMLParser()
        parser.handle_starttag = lambda tag, attributes: found.extend(
            str(value) for key, value in attributes if key in ("href", "src")
        )
        parser.feed(text)
    return [link for link in found if "://" not in link and not link.startswith("#")]


def dead_links(folder: Path) -> list[tuple[str, str]]:
    """Links of a folder's pages that lead to no file within it."""
    pages = [path for path in folder.rglob("*") if path.suffix in (".html", ".md")]
    return [
        (page.name, link)
        for page in pages
        for link in links_of(page)
        if not (target := (page.parent / unescape(link).split("#")[0]).resolve()).exists()
        or not target.is_relative_to(folder.resolve())
    ]


def test_every_link_of_a_published_site_leads_to_a_file_of_it(results: Path, tmp_path: Path) -> None:
    (results / "theory").mkdir(exist_ok=True)
    Image.new("RGB", (20, 20), "red").save(results / "theory/theory.png")
    (results / "theory/theory.md").write_text("![errors](theory.png)\n")
    build.publishing([str(results), str(tmp_path / "out")])
    assert dead_links(tmp_path / "out") == []
    links = links_of(tmp_path / "out/table1.html")
    assert len([link for link in links if link.startswith("assets/sctd-p01-0.html#")]) == 3
    front = links_of(tmp_path / "out/index.html")
    assert "gallery.html#method=sctd&sort=clip" in map(unescape, front) and "manifest.json" in front


def test_a_run_without_its_tables_is_not_published(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    simulated.add_views(simulated.write_run(tmp_path / "run"))
    with pytest.raises(SystemExit, match=r"error: the run has no table1.csv, .*sheet.png"):
        build.publishing([str(tmp_path / "run"), str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


def test_a_page_keeps_the_links_to_what_comes_along_and_leads_those_of_assets_to_their_pages(
    tmp_path: Path,
) -> None:
    (tmp_path / "tables").mkdir()
    page = tmp_path / "tables/table1.html"
    page.write_text(
        '<p>Every asset. <span class="links">Links: a &amp; b.</span></p><td>1<small>'
        '<a href="../views/sds/p01/0/v.mp4">video</a> <a href="../views/cds/p01/0/v.mp4">gone</a> '
        '<a href="../plots/a&amp;b.svg">plot</a></small></td>'
        '<a href="#top">top</a><a href="https://x.org/">web</a>'
    )
    (tmp_path / "plots").mkdir()
    plot = tmp_path / "plots/a&b.svg"
    plot.write_text("x")
    files = {page: "table1.html", plot: "plots/a&b.svg"}
    text = published.lead_links(page, tmp_path, files, {"sds/p01/0": "sds-p01-0"})
    assert '<a href="assets/sds-p01-0.html#turntable">video</a>' in text and "gone" not in text
    assert '<a href="plots/a&amp;b.svg">plot</a></small>' in text
    assert '<a href="#top">' in text and "https://x.org/" in text and "Links: a" in text


def test_the_manifest_names_the_processor_once_or_with_each_asset_where_they_differ(
    results: Path, tmp_path: Path
) -> None:
    def made() -> dict:
        build.publishing([str(results), str(tmp_path / "out")])
        return json.loads((tmp_path / "out/manifest.json").read_text())

    assert made()["shared"]["machine"] == {"processor": "Model X"}
    other = results / "assets/sds/p01/0/provenance.json"
    other.write_text(json.dumps(RECORD | {"machine": {"processor": "Model Y"}}))
    record = made()
    other.write_text(json.dumps(RECORD))
    assert "machine" not in record["shared"]
    assert record["assets"]["sds/p01/0"]["machine"] == {"processor": "Model Y"}
    assert record["assets"]["sctd/p01/0"]["machine"] == {"processor": "Model X"}


def test_provenance_names_the_processors_model(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel\t\t: 85\nmodel name\t: Example CPU @ 2 GHz\n")
    assert processor_model(tmp_path / "cpuinfo") == "Example CPU @ 2 GHz"
    (tmp_path / "arm").write_text("processor\t: 0\nBogoMIPS\t: 243\n\nHardware\t: Board\n")
    assert processor_model(tmp_path / "arm") == "Board"
    assert processor_model(tmp_path / "none") and describe_machine("cpu")["processor"] == processor_model()


def test_a_small_site_has_one_seed_few_variants_without_pages_and_pictures_in_place_of_vectors(
    results: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(results, run)
    for prompt in simulated.PROMPTS:
        for seed in (0, 1):
            folder = run / f"views/sctd/N~3/{prompt}/{seed}"
            shutil.copytree(run / "views/sctd" / prompt / "0", folder)
        for name in ("sctd", "start"):
            shutil.copytree(run / f"views/{name}/{prompt}/0", run / f"views/{name}/{prompt}/1")
    for prompt in simulated.PROMPTS[:STUDIED]:  # those that most variants have are shown
        shutil.copytree(run / "views/sctd" / prompt / "0", run / f"views/sctd/N~9/{prompt}/0")
    (run / "plots").mkdir(exist_ok=True)
    for name in ("heat_map", "ablation_n"):
        Image.new("RGB", (20, 20), "red").save(run / f"plots/{name}.png")
        (run / f"plots/{name}.svg").write_text("<svg/>")
    build.publishing([str(run), str(tmp_path / "out")])
    strips = [path.name for path in (tmp_path / "out/img").glob("sctd-N-3*.webp")]
    others = [path.name for path in (tmp_path / "out/img").glob("sctd-N-9*.webp")]
    assert len(strips) == len(others) == STUDIED and not [*(tmp_path / "out/assets").glob("sctd-N-3*")]
    assert not [*(tmp_path / "out/assets").glob("*-1.html")]
    assert "assets, of seed 0" in (tmp_path / "out/index.html").read_text("utf-8")
    assert not [*(tmp_path / "out").rglob("*.svg")]
    front = links_of(tmp_path / "out/index.html")
    assert "plots/heat_map.png" in front and "sheet.png" in front and dead_links(tmp_path / "out") == []


def test_no_click_in_a_published_site_leads_nowhere(results: Path, tmp_path: Path, chromium: Any) -> None:
    """Every page in a browser, scripts run: where its links and pictures lead, and to which part."""
    build.publishing([str(results), str(tmp_path)])
    page, dead = chromium.new_page(), []
    page.on("pageerror", lambda error: dead.append(str(error)))
    for path in sorted(tmp_path.glob("*.html")) + sorted((tmp_path / "assets").glob("*-p01-0.html")):
        page.goto(path.as_uri())
        found = page.evaluate("[...document.querySelectorAll('[href], img[src]')].map(e => e.href || e.src)")
        for link in filter(lambda link: link.startswith("file:"), found):
            place, _, part = unquote(link.removeprefix("file://")).partition("#")
            target, within = Path(place), "" if "=" in part else part
            here = target.is_file() and target.is_relative_to(tmp_path)
            if not here or (within and f'id="{within}"' not in target.read_text(encoding="utf-8")):
                dead.append((path.name, link))
    page.close()
    assert dead == []
