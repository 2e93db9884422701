"""The count of a step's arithmetic, the step benchmark and the scoring benchmark."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

from segmentdreamer import benchmark
from segmentdreamer.config import load_config
from segmentdreamer.prior.random_networks import build_modules, write_shapes
from segmentdreamer.timing import flops, step
from segmentdreamer.timing.flops import Work, count, count_work
from segmentdreamer.timing.report import Measurement, Report, write_table
from segmentdreamer.timing.step import matrix_rate, spread

ROOT = Path(__file__).parents[3]
MINI = ["--set", f"prior.path={ROOT}/toybox/models/prior", "--set", "start.count=100"]
TERA = 1e12


@pytest.fixture(scope="module")
def sd21(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shapes(tmp_path_factory.mktemp("sd21"))


@pytest.fixture(scope="module")
def work(sd21: Path) -> Work:
    return count_work(sd21, 512)


def test_the_shapes_of_stable_diffusion_have_the_published_parameters(sd21: Path) -> None:
    unet, vae = build_modules(sd21, "meta")
    assert sum(p.numel() for p in unet.parameters()) == 865_910_724
    assert sum(p.numel() for p in vae.parameters()) == 83_653_863


def test_the_networks_have_the_published_arithmetic_at_512_pixels(work: Work) -> None:
    assert work.unet / TERA == pytest.approx(0.804, rel=0.02)
    assert work.encode / TERA == pytest.approx(1.117, rel=0.02)
    assert work.encode_backward / TERA == pytest.approx(1.151, rel=0.02)
    assert work.decode / TERA == pytest.approx(2.515, rel=0.02)


def test_products_convolutions_and_fused_attention_are_counted_by_their_closed_forms() -> None:
    with torch.device("meta"):
        q = torch.empty(1, 5, 64, 32)  # heads, tokens, width
        x, conv, linear = (
            torch.empty(2, 8, 16, 16),
            torch.nn.Conv2d(8, 4, 3, padding=1),
            torch.nn.Linear(8, 3),
        )
        assert count(lambda: torch.nn.functional.scaled_dot_product_attention(q, q, q)) == 5 * 4 * 64**2 * 32
        assert count(lambda: conv(x)) == 2 * 2 * 16**2 * 8 * 4 * 3**2
        assert count(lambda: linear(torch.empty(7, 8))) == 2 * 7 * 8 * 3


# Network evaluations a view and step over 5,000 steps, with plain guidance and under Perp-Neg, and pictures
# decoded.
PUBLISHED = {
    "sds": (2.0, 4.0, 0),
    "ism": (4.65, 6.65, 0),
    "cds": (4.0, None, 0),
    "gcs": (8.0, 12.0, 2),
    "sctd": (4.8, 6.8, 0),
    "sds_bridge": (2.0, None, 0),
    "sdi": (17.24, 34.48, 0),
    "vsd": (4.0, None, 0),  # one with its gradient
    "cfd": (2.0, 4.0, 0),
    "dreamdpo": (6.0, None, 0),
}


LISTED = yaml.safe_load((ROOT / "workflow/config/arithmetic.yaml").read_text())


def test_the_plans_arithmetic_is_what_the_code_counts() -> None:
    """Of the methods that it lists; a method of the reader's own need not stand there."""
    counted = flops.arithmetic("paper", every=10)
    counted["methods"] = {name: counted["methods"][name] for name in LISTED["methods"]}
    assert counted == LISTED and set(PUBLISHED) <= set(LISTED["methods"])


@pytest.mark.parametrize("name", PUBLISHED)
def test_methods_evaluate_the_networks_as_often_as_their_specification_says(name: str) -> None:
    plain, perp_neg, decoded = PUBLISHED[name]
    expected = {"cfg": plain, "perp_neg": perp_neg, "decode": decoded}
    assert LISTED["methods"][name] == pytest.approx(
        {k: v for k, v in expected.items() if v is not None}, abs=0.0101
    )


def test_a_run_of_sctd_is_123_pflop_with_plain_guidance_and_155_with_perp_neg(work: Work) -> None:
    for nfe, pflop in ((4.8, 123), (6.8, 155)):
        assert 5000 * work.total(4 * nfe, 4, 0) / 1e15 == pytest.approx(pflop, rel=0.005)


def test_the_arithmetic_of_a_scale_is_a_table_of_its_methods(capsys: pytest.CaptureFixture[str]) -> None:
    flops.main(["--scale", "mini", "--methods", "cds", "gcs", "--rate", "0.1", "--every", "50"])
    printed = capsys.readouterr().out
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in printed.splitlines()[4:]]
    assert [row[:4] for row in rows] == [
        ["cds", "cfg", "4.00", "0"],
        ["gcs", "cfg", "8.00", "2"],
        ["gcs", "perp_neg", "12.00", "2"],
    ]
    assert all(float(row[5]) * 1e15 / 0.1e12 / 60 == pytest.approx(float(row[6]), abs=9) for row in rows)


@given(st.integers(1, 10_000), st.integers(1, 200))
def test_the_timed_steps_lie_evenly_over_the_run(total: int, count: int) -> None:
    steps = spread(total, count)
    assert len(steps) == count and steps == sorted(steps) and steps[0] >= 0 and steps[-1] < total
    assert sum(steps) / count == pytest.approx((total - 1) / 2, abs=1)


def test_the_matrix_rate_is_the_median_of_products_after_two_that_do_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seconds = [9.0, 9.0, 0.5, 0.25, 0.125]  # of each product, by a clock of our own
    marks = [t for i, s in enumerate(seconds) for t in (100.0 * i, 100.0 * i + s)]
    monkeypatch.setattr(step.time, "perf_counter", lambda: marks.pop(0))
    assert matrix_rate("cpu", torch.float32, 3) == 2 * 1024**3 / 0.25


def run(out: Path, *arguments: str) -> dict[str, Any]:
    benchmark.main([*MINI, "--device", "cpu", "--warmup", "1", "--out", str(out), *arguments])
    return json.loads((out / "benchmark.json").read_text())


def test_a_benchmark_times_each_method_and_counts_its_arithmetic(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = run(tmp_path, "--methods", "sds", "cds", "sctd", "--steps", "2", "--views")
    rows = {(row["method"], row["guidance"]): row for row in found["rows"]}
    assert set(rows) == {(m, g) for m in ("sds", "sctd") for g in ("cfg", "perp_neg")} | {("cds", "cfg")}
    assert rows["sds", "cfg"]["nfe"] == 2 and rows["sds", "perp_neg"]["nfe"] == 4
    assert rows["sctd", "perp_neg"]["nfe"] == rows["sctd", "cfg"]["nfe"] + 2
    work = Work(**found["work"])
    for row in rows.values():
        assert row["flops"] == pytest.approx(load_config("mini").cameras.batch * work.total(row["nfe"], 1, 0))
        assert len(row["seconds"]) == 2 and row["waits"] is None
        assert all(seconds > 0 for seconds in row["parts"].values()) and len(row["parts"]) == 4
        assert row["minutes"] == pytest.approx(sum(row["seconds"]) / 2 * 200 / 60)  # mini's 200 steps
    assert found["views_seconds"] > 0 and found["weights"].endswith("toybox/models/prior")
    page = capsys.readouterr().out
    assert page == (tmp_path / "benchmark.md").read_text()
    assert page.count("\n| ") == 2 + 5 and "paper, min" not in page  # another scale's minutes say nothing


def test_random_weights_cost_the_same_arithmetic_and_need_no_download(tmp_path: Path) -> None:
    found = run(tmp_path, "--methods", "gcs", "--guidance", "cfg", "--steps", "1", "--random-weights")
    work = Work(**found["work"])
    assert found["weights"] == "random" and work == count_work(ROOT / "toybox/models/prior", 64, tokens=77)
    (row,) = found["rows"]
    assert row["flops"] == pytest.approx(load_config("mini").cameras.batch * work.total(8, 1, 2))


def report(scale: str) -> Report:
    rows = [
        Measurement(name, guidance, (0.1, 0.1, 0.4), 4, 4.0, flop, parts, 3, 2048.0, 16.7)
        for name, guidance, flop in (("cds", "cfg", 2e13), ("sctd", "cfg", 1e13), ("sctd", "perp_neg", 1e13))
        for parts in [{"unet": 0.1, "vae": 0.05, "rasterizer": 0.03, "rest": 0.02}]
    ]
    work = Work(8 * 10**11, 10**12, 10**12, 2 * 10**12, 9 * 10**11)
    return Report(scale, "random", {}, {"gpu": "A GPU"}, {"torch": "2"}, "float16", 5e14, work, rows)


def test_the_table_sets_steps_beside_their_floor_sctd_and_the_paper() -> None:
    lines = [line for line in write_table(report("paper")).splitlines() if line.startswith("|")]
    header, _, cds, cfg, perp_neg = ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines)
    first = dict(zip(header, cds, strict=True))
    assert (first["step, ms"], first["mean, ms"], first["floor, ms"]) == ("100.0", "200.0", "40.0")
    assert first["of matrix rate"] == "20%" and first["peak, GiB"] == "2.00" and first["waits"] == "3"
    assert (first["/ SCTD"], first["FLOP / SCTD"], first["NFE / SCTD"]) == ("1.00", "2.00", "1.00")
    assert [row[-1] for row in (cds, cfg, perp_neg)] == ["140", "32", "38"] and header[-1] == "paper, min"
    assert "paper, min" not in write_table(report("mini"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--methods", "nope"], "error: unknown method 'nope'"),
        (["--scale", "paper", "--set", "prior.path=nowhere"], "no file nowhere"),
        (["--set", "prior.compile=3"], "error: prior.compile: expected bool"),
    ],
)
def test_wrong_input_gets_one_line(arguments: list[str], words: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        benchmark.main(["--device", "cpu", "--steps", "1", *arguments])
    assert words in str(stopped.value) and "\n" not in str(stopped.value)


def test_the_papers_configuration_is_what_the_targets_are_stated_for() -> None:
    config = load_config("paper")
    assert (config.cameras.batch, config.render.size, config.train.steps) == (4, 512, 5000)


def test_scoring_is_timed_by_part_on_views_with_an_outline(capsys: pytest.CaptureFixture[str]) -> None:
    from eval import benchmark as scoring

    views = scoring.draw_views(3, 32)
    assert views.shape == (3, 32, 32, 4) and set(np.unique(views[..., 3])) == {0, 255}
    assert (
        0.3 < views[..., 3].mean() / 255 < math.pi / 8 + 0.05
    )  # a disc of radius sqrt(1/2) in a square of 2
    weights = ROOT / "toybox/models/clip/model.safetensors"
    scoring.main(
        [
            "--views",
            "2",
            "--size",
            "64",
            "--repeats",
            "1",
            "--clip",
            "toybox-clip",
            "--clip-weights",
            str(weights),
            "--device",
            "cpu",
        ]
    )
    printed = capsys.readouterr().out
    assert "2 views of 64 px on cpu" in printed
    total = float(printed.splitlines()[0].split(": ")[1].removesuffix(" s"))
    parts = {line.split()[0]: float(line.split()[1]) for line in printed.splitlines()[1:]}
    assert {"clip", "inception", "pathology", "compositing"} <= set(parts)
    assert 0 < sum(parts.values()) <= total + 0.05


def test_a_row_that_fails_is_named_and_the_others_are_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = step.take_step

    def fail(state: Any, method: Any, *rest: Any) -> Any:
        if type(method).__name__ == "SDS":
            raise RuntimeError("CUDA out of memory.\nand more")
        return real(state, method, *rest)

    monkeypatch.setattr(step, "take_step", fail)
    found = run(tmp_path, "--methods", "sds", "cds", "--guidance", "cfg", "--steps", "1")
    assert [row["method"] for row in found["rows"]] == ["cds"]
    assert "sds, cfg: failed: CUDA out of memory.\n" in capsys.readouterr().err


def test_the_rate_of_the_reference_set_is_that_of_drawing_it(capsys: pytest.CaptureFixture[str]) -> None:
    from eval import benchmark as scoring

    asked = ["--reference", "1", "--prior", str(ROOT / "toybox/models/prior"), "--device", "cpu"]
    with pytest.raises(SystemExit, match="error: prior.compile: expected bool"):
        scoring.main([*asked, "--set", "prior.compile=3"])
    scoring.main([*asked, "--set", "prior.compile=false"])
    printed = capsys.readouterr().out
    seconds, hours = (float(word) for word in printed.split() if word.replace(".", "").isdigit())
    assert seconds > 0 and hours == pytest.approx(seconds * 50_000 / 3600, abs=0.01 * 50)
