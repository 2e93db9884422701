"""The speed benchmark: what it makes of measured times, what it counts, and its run on a CPU."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import random_weights
import torch
from hypothesis import given
from hypothesis import strategies as st

from segmentdreamer.benchmark import by_part, main, matrix_rate, open_networks, time_views
from segmentdreamer.config import load_config
from segmentdreamer.flops import Work, count, count_evaluations, count_work
from segmentdreamer.methods import load_method
from segmentdreamer.networks import NetworkOptions, load_folder
from segmentdreamer.profile import Stopwatch
from segmentdreamer.speed import PARTS, Timing, as_record, assess, spread, table

ROOT = Path(__file__).parent.parent
PRIOR = ROOT / "toybox" / "models" / "prior"
SD21 = Work(unet=804 * 10**9, encode=1117 * 10**9, encode_backward=1151 * 10**9, decode=2515 * 10**9)
SCTD = Timing("sctd", "cfg", 0.1, 0.1, dict.fromkeys(PARTS, 0.025), 20.0, 4.0, 0.0, 10**9, 1000, 0.0)
GCS = replace(SCTD, method="gcs", mean=0.3, evaluations=32.0, decoded=8.0)


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small pipeline folder of JSON files, without the weights of UNet and autoencoder."""
    out = tmp_path_factory.mktemp("weights")
    random_weights.write_networks(out, ["sd21-base"], "tiny", seed=0)
    for part in ("unet", "vae"):
        for path in (out / "sd21-base" / part).glob("*.safetensors"):
            path.unlink()
    return out / "sd21-base"


def test_figures_follow_from_times_by_arithmetic() -> None:
    sctd, gcs = assess([SCTD, GCS], SD21, rate=790e12, steps=5000)
    assert sctd.operations == pytest.approx(20 * 0.804e12 + 4 * (1.117e12 + 1.151e12))
    assert gcs.operations == pytest.approx(32 * 0.804e12 + 4 * 2.268e12 + 8 * 2.515e12)
    assert sctd.floor == pytest.approx(25.152e12 / 790e12) and sctd.share == pytest.approx(sctd.floor / 0.1)
    assert sctd.minutes == pytest.approx(5000 * 0.1 / 60)
    assert (gcs.time_ratio, gcs.nfe_ratio) == (pytest.approx(3), pytest.approx(1.6))
    assert gcs.work_ratio == pytest.approx(gcs.operations / sctd.operations)


@given(rate=st.floats(1e9, 1e16), faster=st.floats(1, 10))
def test_a_step_at_its_floor_reaches_the_whole_rate(rate: float, faster: float) -> None:
    (figures,) = assess([SCTD], SD21, rate, 1)
    (at_floor,) = assess([replace(SCTD, mean=figures.floor)], SD21, rate, 1)
    assert at_floor.share == pytest.approx(1)
    (slower,) = assess([replace(SCTD, mean=faster * figures.floor)], SD21, rate, 1)
    assert slower.share == pytest.approx(1 / faster)


def test_ratios_compare_with_sctd_under_the_same_guidance_or_not_at_all() -> None:
    other = replace(SCTD, guidance="perp_neg", mean=0.5)
    gcs = assess([SCTD, other, replace(GCS, guidance="perp_neg")], SD21, 1e12, 1)[2]
    assert gcs.time_ratio == pytest.approx(0.3 / 0.5)
    (alone,) = assess([GCS], SD21, 1e12, 1)
    assert alone.time_ratio is alone.nfe_ratio is alone.work_ratio is None


@given(st.integers(1, 60), st.integers(60, 5000))
def test_timed_steps_are_spread_evenly_over_the_run(count: int, steps: int) -> None:
    picked = spread(count, steps)
    gaps = {b - a for a, b in zip(picked, picked[1:], strict=False)}
    assert len(set(picked)) == count and 0 <= picked[0] and picked[-1] < steps
    assert max(gaps, default=0) - min(gaps, default=0) <= 1
    assert abs(sum(picked) / count - steps / 2) <= 1


def test_a_pair_that_was_not_measured_is_a_dash() -> None:
    (figures,) = assess([SCTD], SD21, 790e12, 5000)
    text = table([as_record(SCTD, figures, 38)], [("sctd", "cfg"), ("cds", "perp_neg")])
    header, rule, first, second = text.splitlines()
    assert len({line.count("|") for line in (header, rule, first, second)}) == 1
    assert first.startswith("| sctd | cfg | 100.0 | 25.0 |") and "| 38 |" in first and "31.8%" in first
    assert second.replace("|", "").split() == ["cds", "perp_neg", *["–"] * 14]


def test_what_is_neither_network_nor_rasterizer_is_the_rest() -> None:
    watch = Stopwatch()
    watch.seconds.update({"unet": 4.0, "method": 1.0, "rest": 2.0, "rasterizer": 6.0})
    assert by_part(watch, 2) == {"unet": 2.0, "vae": 0.0, "rasterizer": 3.0, "rest": 1.5}


@pytest.mark.parametrize(
    ("name", "cfg", "perp_neg", "decoded"),
    [("sds", 2, 4, 0), ("ism", 4.65, 6.65, 0), ("cds", 4, None, 0), ("gcs", 8, 12, 2), ("sctd", 4.8, 6.8, 0)],
)
def test_evaluations_of_a_run_are_the_published_ones(
    name: str, cfg: float, perp_neg: float | None, decoded: int
) -> None:
    method = load_method(name, {})
    for expected, guidance in ((cfg, False), (perp_neg, True)):
        if expected is not None:
            found = count_evaluations(method, guidance, 5000, 1500, every=10)
            assert found == (pytest.approx(expected, rel=0.03), decoded)


def test_sctd_takes_123_pflop_and_155_under_perp_neg() -> None:
    method = load_method("sctd", {})
    for guidance, expected in ((False, 123), (True, 155)):
        nfe, decoded = count_evaluations(method, guidance, 5000, 1500, every=5)
        assert 4 * 5000 * SD21.total(nfe, 1, decoded) / 1e15 == pytest.approx(expected, rel=0.01)


def test_the_count_on_shapes_equals_that_of_a_real_call_with_plain_attention() -> None:
    counted = count_work(PRIOR, side=64, tokens=8)
    real = load_folder(PRIOR, "cpu", torch.float32, NetworkOptions(attention="plain"))
    z, t = torch.randn(1, 4, 16, 16), torch.tensor([500])
    cond = torch.randn(1, 8, real.unet.config["cross_attention_dim"])
    picture = torch.rand(1, 3, 64, 64, requires_grad=True)
    with torch.no_grad():
        assert count(lambda: real.predict(z, t, cond)) == counted.unet
        assert count(lambda: real.decode(z)) == counted.decode
    encoded = real.moments(picture).sum()
    assert count(lambda: torch.autograd.grad(encoded, picture)) == counted.encode_backward
    assert count(lambda: real.moments(picture)) == counted.encode


def test_the_matrix_rate_is_one_that_a_processor_can_have() -> None:
    assert 1e8 < matrix_rate("cpu", torch.float32, side=256, repeats=5) < 1e14


def test_views_are_timed() -> None:
    assert 0 < time_views("cpu", 32, views=3, count=200) < 30


def test_without_weights_the_networks_are_random_ones_of_the_same_shapes(shapes: Path) -> None:
    config = replace(load_config("paper").prior, path=str(shapes))
    prior = open_networks(config, shapes, "cpu", 1)
    embedded = prior.encode_prompt(["a cat", "a dog"])
    assert embedded.shape == (2, 77, 32) and not torch.equal(embedded[0], embedded[1])
    assert bool(torch.isfinite(prior.eps(torch.randn(2, 4, 8, 8), 500, embedded)).all())
    assert prior.encode(torch.rand(1, 3, 64, 64)).shape == (1, 4, 8, 8)


def test_the_papers_configuration_is_timed_on_a_cpu(shapes: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "made" / "speed.json"
    small = ["render.size=64", "cameras.batch=2", f"prior.path={shapes}", "start.count=300"]
    main(
        ["--scale", "paper", "--device", "cpu", "--steps", "2", "--methods", "cds", "gcs", "sctd"]
        + ["--guidance", "cfg", "perp_neg", "--out", str(out)]
        + [word for setting in small for word in ("--set", setting)]
    )
    record = json.loads(out.read_text())
    rows = {(row["method"], row["guidance"]): row for row in record["rows"]}
    assert set(rows) == {("cds", "cfg"), *((m, g) for m in ("gcs", "sctd") for g in ("cfg", "perp_neg"))}
    gcs = rows["gcs", "perp_neg"]
    assert (gcs["evaluations"], gcs["encoded"], gcs["decoded"]) == (2 * 12, 2, 2 * 2)
    assert gcs["gaussians"] == 300 and gcs["paper_minutes"] == 80 and gcs["skipped"] == 0
    assert all(0 < row["share"] and 0 < row["parts"]["unet"] < 10 for row in rows.values())
    assert record["random_weights"] and record["steps"] == 5000 and record["dtype"] == "float32"
    assert rows["sctd", "cfg"]["time_ratio"] == rows["sctd", "cfg"]["nfe_ratio"] == 1
    printed = capsys.readouterr().out
    assert "random weights" in printed and "| cds | perp_neg | – |" in printed


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--scale", "mini", "--methods", "nothing"], "error: unknown method 'nothing'"),
        (["--scale", "no-such-scale"], "error: no scale or configuration file"),
        (["--scale", "mini", "--paper", "no/such.yaml"], "error: .*no/such.yaml"),
    ],
)
def test_bad_input_ends_with_one_line(words: list[str], message: str) -> None:
    with pytest.raises(SystemExit, match=message):
        main([*words, "--device", "cpu", "--steps", "1"])
