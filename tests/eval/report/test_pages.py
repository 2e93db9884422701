"""The report in a browser, from disk: what a reader turns, sorts, filters, compares, slides and saves."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image

from eval.report import build
from eval.report.pictures import pack
from eval.views.archive import composite
from eval.views.render import render, write_all
from segmentdreamer.scene.gaussians import parameters, save_ply

METHODS, PROMPTS = ("sds", "sctd"), ("p01", "p02", "p03")
VIEW = {"count": 12, "elevation": 10, "radius": 4.1, "fov": 0.515, "size": 64}
LEAST_PSNR = 35  # dB, of the viewer against our renderer


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Assets of random Gaussians, sctd's redder than sds's, with views, scores and an ablation."""
    root, rng = tmp_path_factory.mktemp("run"), torch.Generator().manual_seed(0)
    names = [*METHODS, "sctd/N~1", "sctd/N~5"]
    for number, (method, prompt) in enumerate((m, p) for m in names for p in PROMPTS):
        folder = root / "assets" / method / prompt / "0"
        places = torch.randn(150, 3, generator=rng) * torch.tensor([0.2, 0.35, 0.4])
        colors = torch.rand(150, 3, generator=rng) * torch.tensor(
            [1.0, 0.3, 0.3] if "sctd" in method else [0.3, 0.5, 1]
        )
        save_ply(
            parameters(places, torch.full((150, 3), 0.06), torch.full((150,), 0.8), colors),
            folder / "asset.ply",
        )
        (folder / "cost.json").write_text(json.dumps({"seconds": 9, "nfe": 100}))
        (folder / "provenance.json").write_text(json.dumps({"asset_sha256": "0", "config": {}}))
        pd.DataFrame({"step": range(9), "loss": np.arange(9.0) ** 2}).to_csv(
            folder / "train.csv", index=False
        )
        write_all(*render(folder / "asset.ply", VIEW, "cpu"), root / "views" / method / prompt / "0")
        scores = root / "scores" / method / prompt / "0"
        scores.mkdir(parents=True)
        rows = [(view, "clip", 70 + number + np.cos(view)) for view in range(12)]
        pd.DataFrame(rows, columns=["view", "metric", "value"]).to_csv(scores / "scores.csv", index=False)
    texts = {
        f"texts.{p}.{key}": text
        for p, kind in zip(PROMPTS, ("duck", "bear", "duck"), strict=True)
        for key, text in (("prompt", f"a {kind}, number {p}"), ("class", kind))
    }
    (root / "settings.yaml").write_text(yaml.safe_dump({"scale": "mini", **texts}))
    (root / "tables").mkdir()
    known = {"method": "sctd", "official": "sctd/N~5", "redraw_t": "false", "metric": "clip", "n": 3}
    known |= dict.fromkeys(("guidance", "guidance_omega", "guidance_brightness", "guidance_negative"), "")
    rows = [
        known
        | {"variant": f"sctd/N~{n}", "label": f"N = {n}", "N": n, "level": 70 + n}
        | {"difference": n - 5, "low": n - 6, "high": n - 4}
        for n in (1, 5)
    ]
    pd.DataFrame(rows).to_csv(root / "tables/ablation_n.csv", index=False)
    claims = [
        {"claim": source, "verdict": "supported", "text": f"said of {source}", "where": "Fig. 6",
         "source": source, "note": "", "words": ["N = 1 lower than N = 5: −4"], "contrasts": []}
        for source in ("n", "approx")
    ]  # fmt: skip
    (root / "tables/claims.json").write_text(json.dumps({"claims": claims}), "utf-8")
    return root


@pytest.fixture(scope="module")
def report(run: Path) -> Path:
    build.main([str(run)])
    return run / "report"


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    """A page on which no error may happen."""
    page, errors = chromium.new_page(viewport={"width": 1200, "height": 900}), []
    page.on("pageerror", lambda error: errors.append(error))
    page.set_default_timeout(60_000)
    yield page
    page.close()
    assert not errors


def picture(where: Any) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(where.screenshot())).convert("RGB")).astype(float)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / max(((a - b) ** 2).mean(), 1e-9)))


def wait_until(page: Any, holds: Callable[[], bool]) -> bool:
    """Whether it comes to hold within a minute; WebGL in software may take seconds a picture."""
    for _ in range(240):
        if holds():
            return True
        page.wait_for_timeout(250)
    return False


def open_asset(page: Any, report: Path) -> Any:
    """The canvas with sctd's first asset, 256 px wide, as its front is drawn."""
    page.goto((report / "assets/sctd-p01-0.html").as_uri())
    style = "#stage { position: fixed; left: 0; top: 0; width: 256px !important; border: 0 !important }"
    page.add_style_tag(content=style + " * { outline: 0 !important }")
    page.wait_for_function("window.viewer && viewer.count")  # the form of this id is there before
    canvas = page.locator("#stage canvas")
    assert wait_until(page, lambda: picture(canvas).min() < 150)
    return canvas


def test_the_viewer_shows_what_our_renderer_does_from_every_side(page: Any, run: Path, report: Path) -> None:
    canvas = open_asset(page, report)
    views, _ = render(run / "assets/sctd/p01/0/asset.ply", VIEW | {"size": 256}, "cpu")
    ours = composite(views).astype(float)
    for number in (0, 3, 7):
        page.evaluate(f"viewer.place({30 * number})")
        assert wait_until(page, lambda side=number: psnr(picture(canvas), ours[side]) > LEAST_PSNR)
        assert psnr(picture(canvas), ours[(number + 5) % 12]) < LEAST_PSNR - 10


def test_the_asset_turns_under_pointer_and_keys_and_changes_mode_and_background(
    page: Any, report: Path
) -> None:
    canvas = open_asset(page, report)
    front = picture(canvas)
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + 60, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 160, box["y"] + 100, steps=4)
    page.mouse.up()
    assert wait_until(page, lambda: psnr(picture(canvas), front) < 30)
    page.click("#reset")
    canvas.focus()
    page.keyboard.press("ArrowRight")
    assert round(page.evaluate("viewer.angles()[0]")) == 6
    turned = picture(canvas)
    page.keyboard.press("Shift+ArrowRight")
    assert wait_until(page, lambda: psnr(picture(canvas), turned) < 30)
    assert round(page.evaluate("viewer.angles()[0]")) == 6
    page.keyboard.press("+")
    assert page.evaluate("viewer.angles()[2]") == pytest.approx(VIEW["radius"] / 1.1, abs=1e-3)
    page.click("#reset")
    page.select_option("#mode", "depth")
    assert wait_until(page, lambda: np.ptp(picture(canvas), axis=-1).max() < 6)
    assert psnr(picture(canvas), front) < 30
    page.select_option("#mode", "color")
    page.select_option("#background", "#000000")
    assert wait_until(page, lambda: picture(canvas)[0, 0].max() == 0)


def test_what_is_saved_is_the_asset(page: Any, run: Path, report: Path) -> None:
    open_asset(page, report)
    saved = {}
    for ending in ("ply", "spz", "glb"):
        with page.expect_download() as download:
            page.click(f"#{ending}")
        saved[ending] = Path(download.value.path()).read_bytes()
    assert saved["ply"] == (run / "assets/sctd/p01/0/asset.ply").read_bytes()
    assert saved["spz"][:2] == b"\x1f\x8b" and saved["glb"][:4] == b"glTF"


def test_the_turntable_stands_in_the_viewer_until_the_gaussians_are_drawn(page: Any, report: Path) -> None:
    page.add_init_script("window.requestAnimationFrame = () => 1")  # nothing is ever drawn
    page.goto((report / "assets/sctd-p01-0.html").as_uri())
    page.wait_for_selector("#stage canvas.waiting", state="attached")
    assert page.is_visible("#stage .spin img") and picture(page.locator("#stage")).min() < 150


def test_without_webgl_or_splats_the_turntable_stands_in(page: Any, report: Path) -> None:
    page.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")
    page.goto((report / "assets/sctd-p01-0.html").as_uri())
    page.wait_for_selector("#stage .spin img")
    assert "no WebGL" in page.inner_text("#said") and page.is_enabled("#ply") and page.is_disabled("#spz")
    data = report / "data/sds-p01-0.js"
    kept = data.read_text()
    data.unlink()
    page.goto((report / "assets/sds-p01-0.html").as_uri())
    page.wait_for_selector("#stage .spin img")
    assert "does not have the splats" in page.inner_text("#said")
    data.write_text(kept)


def tiles(page: Any) -> list[str]:
    return [
        link.split("/")[-1]
        for link in page.eval_on_selector_all(".tile", "all => all.map(a => a.getAttribute('href'))")
    ]


def test_the_gallery_filters_sorts_and_keeps_the_worst_the_median_and_the_best(
    page: Any, report: Path
) -> None:
    page.goto((report / "gallery.html").as_uri())
    assert len(tiles(page)) == 6
    page.select_option("#category", "bear")
    assert tiles(page) == ["sds-p02-0.html", "sctd-p02-0.html"]
    page.select_option("#category", "")
    page.fill("#search", "duck p03")
    assert tiles(page) == ["sds-p03-0.html", "sctd-p03-0.html"]
    page.fill("#search", "")
    page.select_option("#sort", "clip")
    best_first = [f"{m}-{p}-0.html" for m in reversed(METHODS) for p in reversed(PROMPTS)]
    assert tiles(page) == best_first
    page.uncheck("[name=method][value=sctd]")
    assert tiles(page) == best_first[3:]
    page.select_option("#show", "three")
    assert tiles(page) == best_first[3:][::-1]
    page.reload()
    assert tiles(page) == best_first[3:][::-1]


def test_one_slider_turns_all_turntables(page: Any, report: Path) -> None:
    page.goto((report / "gallery.html").as_uri())
    page.click("#spin") if page.get_attribute("#spin", "aria-pressed") == "true" else None
    page.locator("#turn").fill("0")
    front = picture(page.locator("#gallery"))
    page.locator("#turn").fill("18")
    assert psnr(picture(page.locator("#gallery")), front) < 30
    page.locator("#turn").fill("0")
    assert psnr(picture(page.locator("#gallery")), front) > 60
    page.click("#spin")
    page.wait_for_function("Number(document.getElementById('turn').value) > 3")


def test_two_methods_turn_under_one_orbit(page: Any, report: Path) -> None:
    page.goto((report / "compare.html").as_uri())
    page.wait_for_function("window.viewers && Object.keys(viewers).length === 2")
    page.locator("#one canvas").focus()
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("Math.round(viewers.two.angles()[0])") == -6
    red = [picture(page.locator(f"#{side} canvas")).mean((0, 1)) for side in ("one", "two")]
    assert red[1][0] - red[1][2] > red[0][0] - red[0][2]
    page.select_option("#prompt", "p02")
    page.wait_for_function("location.hash.includes('p02')")


def test_an_ablation_stands_beside_what_the_paper_says_of_it(page: Any, report: Path) -> None:
    page.goto((report / "ablation_n.html").as_uri())
    (told,) = page.locator(".claims li").all_text_contents()
    assert "said of n" in told and "Fig. 6" in told and "N = 1 lower than N = 5: −4" in told


def test_the_slider_of_an_ablation_changes_pictures_and_figures(page: Any, report: Path) -> None:
    page.goto((report / "ablation_n.html").as_uri())
    told = []
    for stop in ("0", "1"):
        page.locator("#stop").fill(stop)
        told.append((page.inner_text("#value"), tiles(page)[0], page.inner_text("#lines dd")))
    assert [value for value, _, _ in told] == ["1", "5"]
    assert told[0][1].startswith("sctd-N-1") and told[1][1].startswith("sctd-N-5")
    assert "71" in told[0][2] and "75" in told[1][2]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pages_fit_a_phone_in_either_theme_and_are_used_by_keys(
    chromium: Any, report: Path, theme: str
) -> None:
    context = chromium.new_context(viewport={"width": 375, "height": 740}, color_scheme=theme, has_touch=True)
    page = context.new_page()
    for name in ("index.html", "gallery.html", "compare.html", "ablation_n.html", "assets/sctd-p01-0.html"):
        page.goto((report / name).as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= 375, name
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 24, 27)"
        assert dark == (theme == "dark"), name
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip", name
    page.click("#theme")
    page.click("#theme")
    assert (
        page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 24, 27)"
    )  # dark, as chosen
    context.close()


def test_a_ply_from_the_users_disk_is_shown_where_the_report_has_none(
    page: Any, run: Path, report: Path
) -> None:
    (report / "data/sctd-p02-0.js").unlink()
    page.goto((report / "assets/sctd-p02-0.html").as_uri())
    page.wait_for_selector("#bring:not([hidden])")
    page.set_input_files("#file", run / "assets/sctd/p02/0/asset.ply")
    page.wait_for_function("window.viewer && viewer.count === 150")


def test_packed_bytes_are_the_same_for_the_same_content() -> None:
    assert pack(b"x" * 99) == pack(b"x" * 99)
