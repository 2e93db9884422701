"""The analytic prior against closed forms, and the measurement of Theorem 1 built on it."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from eval.theory import experiment as theory
from eval.theory import fit as theory_fit
from eval.theory import page as theory_page
from eval.views.archive import write_views
from segmentdreamer.diffusion.guidance import conditional, guided, unconditional
from segmentdreamer.diffusion.mixture import CLEAN, MixturePrior, levels
from segmentdreamer.diffusion.solver import add_noise, alpha, noise_to_signal, ode_step
from segmentdreamer.prior.options import PriorConfig

PRIOR = Path("toybox/models/prior")


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def single() -> MixturePrior:
    """One Gaussian, whose trajectories are known."""
    return MixturePrior(draw(1, 4, 3, 3), 0.3)


@pytest.fixture
def mixture() -> MixturePrior:
    """Six near components under two labels, of unequal weights."""
    weights = torch.tensor([0.1, 0.3, 0.1, 0.2, 0.2, 0.1])
    return MixturePrior(draw(6, 4, 3, 3), 0.4, ["cat"] * 4 + ["dog"] * 2, weights)


@pytest.mark.parametrize(("a", "b"), [(13.0, 0.0), (13.0, 0.6), (0.0, 5.0), (0.2, 0.2)])
def test_a_single_gaussian_has_its_closed_form(single: MixturePrior, a: float, b: float) -> None:
    """y_b = c + (r_b / r_a)(y_a - c), r^2 = s^2 + sigma^2."""
    y, c, s = draw(2, 4, 3, 3, seed=1) * 3, single.centers, single.deviation
    exact = c + np.hypot(s, b) / np.hypot(s, a) * (y - c)
    solved = single.solve(y, a, b, single.encode_prompt([""]))
    assert (solved - exact).abs().max() < 1e-10


@pytest.mark.parametrize("label", ["", "cat"])
@pytest.mark.parametrize("sigma", [0.05, 0.7, 6.0])
def test_the_noise_is_the_score_of_the_mixture(mixture: MixturePrior, label: str, sigma: float) -> None:
    """eps = -sigma grad log p(y; sigma), by differentiating the density."""
    y = (mixture.centers[:3] + draw(3, 4, 3, 3, seed=2) * sigma).requires_grad_()
    chosen = [label in ("", own) for own in mixture.labels]
    spread = float(np.hypot(sigma, mixture.deviation))
    parts = torch.distributions.Independent(
        torch.distributions.Normal(mixture.centers[chosen].flatten(1), spread), 1
    )
    weights = torch.distributions.Categorical(logits=mixture.log_weights[chosen])
    density = torch.distributions.MixtureSameFamily(weights, parts)
    (score,) = torch.autograd.grad(density.log_prob(y.flatten(1)).sum(), y)
    eps = mixture.eps_at(y.detach(), sigma, mixture.encode_prompt([label]))
    assert torch.allclose(eps, -sigma * score, rtol=1e-10, atol=1e-12)


def test_timesteps_and_noise_levels_agree(mixture: MixturePrior) -> None:
    x, a, cond = draw(3, 4, 3, 3), mixture.alphas_cumprod, mixture.encode_prompt([""])
    times = torch.tensor([0, 500, 999])
    together = mixture.eps(x, times, cond)
    for i, t in enumerate(times.tolist()):
        (ratio,), (scale,) = levels(a, [t])
        assert torch.allclose(ratio, noise_to_signal(a, t), rtol=1e-12) and torch.allclose(scale, alpha(a, t))
        alone = mixture.eps_at(x[i : i + 1] / scale, ratio, cond)
        assert torch.allclose(together[i : i + 1], alone, rtol=1e-10, atol=1e-12)
    assert mixture.nfe == 3
    assert [float(value) for value in levels(a, [CLEAN])] == [0.0, 1.0]
    with pytest.raises(ValueError, match="leave"):
        levels(a, [1000])


def test_trajectories_are_known_to_ten_digits(mixture: MixturePrior) -> None:
    z, cond = draw(4, 4, 3, 3, seed=3), mixture.encode_prompt(["cat", "dog", "", ""])
    ends = [mixture.flow(z, 980, CLEAN, cond, tolerance) for tolerance in (1e-12, 5e-13)]
    assert (ends[0] - ends[1]).abs().max() < 1e-10
    halfway = mixture.flow(mixture.flow(z, 980, 400, cond), 400, CLEAN, cond)
    assert (halfway - ends[0]).abs().max() < 1e-10


def test_an_exact_trajectory_is_where_small_steps_lead(mixture: MixturePrior) -> None:
    z, cond = draw(2, 4, 3, 3, seed=4), mixture.encode_prompt(["cat", "dog"])
    exact = mixture.flow(z, 800, 200, cond)
    errors = [
        (mixture.march(z, np.linspace(800, 200, n + 1).tolist(), cond) - exact).norm() for n in (2000, 4000)
    ]
    assert float(errors[0] / errors[1]) == pytest.approx(2, rel=0.02) and errors[1] < 1e-2


def test_first_order_steps_are_the_losses_own(mixture: MixturePrior) -> None:
    x, cond, a = draw(2, 4, 3, 3), mixture.encode_prompt([""]), mixture.alphas_cumprod
    stepped = ode_step(a, x, 700, 300, mixture.eps(x, 700, cond))
    stepped = ode_step(a, stepped, 300, 20, mixture.eps(stepped, 300, cond))
    assert torch.allclose(mixture.march(x, [700, 300, 20], cond), stepped, rtol=1e-10, atol=1e-12)


def test_a_label_selects_its_components(mixture: MixturePrior) -> None:
    alone = MixturePrior(mixture.centers[4:], mixture.deviation, weights=torch.tensor([0.2, 0.1]))
    x = draw(2, 4, 3, 3, seed=5)
    dog = mixture.eps(x, 600, mixture.encode_prompt(["dog"]))
    assert torch.allclose(dog, alone.eps(x, 600, alone.encode_prompt([""])), atol=1e-12)
    assert not torch.allclose(dog, mixture.eps(x, 600, mixture.encode_prompt([""])), atol=1e-3)
    with pytest.raises(ValueError, match="'cow'"):
        mixture.encode_prompt(["cow"])
    with pytest.raises(ValueError, match="positive"):
        MixturePrior(mixture.centers, 0.0)


def test_guidance_works_on_it_unchanged(mixture: MixturePrior) -> None:
    x, conditioning = draw(2, 4, 3, 3, seed=6), mixture.conditioning(["cat", "dog"])
    plain = conditional(mixture, x, 600, conditioning)
    free = unconditional(mixture, x, 600, conditioning)
    assert torch.allclose(guided(mixture, x, 600, conditioning, 1.0), plain, atol=1e-12)
    assert torch.allclose(guided(mixture, x, 600, conditioning, 3.0), free + 3 * (plain - free), atol=1e-12)


def test_the_fitted_order_of_the_first_order_solver_is_one(single: MixturePrior) -> None:
    """And an exponent is recovered from a pure power, with the verdict on either side of the bound."""
    z_0, noise = draw(5, 4, 3, 3, seed=7), draw(5, 4, 3, 3, seed=8)
    z_t, cond = add_noise(single.alphas_cumprod, z_0, noise, 596), single.encode_prompt([""])
    exact, rows = single.flow(z_t, 596, 404, cond), []
    for point, step in enumerate(theory.STEPS):
        times = np.linspace(596, 404, round(192 / step) + 1).tolist()
        miss = single.march(z_t, times, cond) - exact
        shared = {
            "part": "step",
            "method": "SCTD",
            "region": "404-596",
            "point": point,
            "target": 404,
            "step": step,
        }
        rows += theory.by_start(theory.Starts(z_0, noise, list("abcde")), shared, {"error": miss})
    fitted = theory_fit.fit_exponents(pd.DataFrame(rows)).iloc[0]
    assert fitted["exponent"] == pytest.approx(1, abs=0.02) and fitted["verdict"] == "agrees"
    line = pd.DataFrame({"prompt": "a", "length": [1.0, 2.0, 4.0], "error": [3.0, 12.0, 48.0]})
    assert theory_fit.slopes(line, "length") == pytest.approx([2.0])


def test_an_exponent_agrees_where_its_interval_is_close_not_where_it_is_wide() -> None:
    intervals = ((1.25, 1.3), (0.5, 0.75), (0.9, 1.1), (-0.1, 1.9), (np.nan, np.nan))
    verdicts = [theory_fit.verdict(*interval, 1) for interval in intervals]
    assert verdicts == ["steeper", "shallower", "agrees", "undecided", "undecided"]


# --- Theorem 1: which target, which unit -------------------------------------------------------------------


def power_laws(prompts: int, starts: int) -> pd.DataFrame:
    """Errors that grow like a power of the length, one a prompt; starts of a prompt are alike."""
    return pd.DataFrame([
        {"part": "length", "method": "SCTD", "region": "from 20", "point": i, "target": 20, "length": length,
         "prompt": f"p{p}", "start": p * starts + s, "error": float(length) ** (1 + p / 10)}
        for p in range(prompts) for s in range(starts) for i, length in enumerate((12, 48, 192))
    ])  # fmt: skip


def test_an_interval_speaks_of_prompts_however_many_starts_each_has() -> None:
    once, often = (theory_fit.fit_exponents(power_laws(6, starts)).iloc[0] for starts in (1, 8))
    assert once["exponent"] == pytest.approx(1.25) and once["low"] < 1.25 < once["high"]
    assert often[["low", "high"]].tolist() == pytest.approx(once[["low", "high"]].tolist())
    few = theory_fit.fit_exponents(power_laws(3, 8)).iloc[0]
    assert np.isnan(few["low"]) and few["verdict"] == "undecided"


def test_cds_is_followed_to_the_clean_latent_to_the_last_timestep_and_to_the_common_target() -> None:
    routes = pd.DataFrame([vars(route) for route in theory.routes(0)])
    for part, mine in routes.groupby("part"):
        targets = {method: set(rows["target"]) for method, rows in mine.groupby("method")}
        assert targets["CDS"] == {-1, 0, theory.EDGE}, part
        assert min(targets["GCS"]) > min(targets["SCTD"]) == theory.EDGE, part


def test_what_is_missed_at_a_higher_target_is_followed_down_exactly(
    single: MixturePrior, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Gaussian's trajectories shrink y - c by the ratio of r at either end, and so do misses."""
    smaller = {"STEPS": (64,), "LENGTHS": (96,), "SEGMENTS": (5, 10), "DRAWS": 4}
    for name, value in smaller.items():
        monkeypatch.setattr(theory, name, value)
    starts = theory.Starts(draw(2, 4, 3, 3, seed=7), draw(2, 4, 3, 3, seed=8), ["", ""])
    points = theory.measure_routes(single, starts, seed=0)
    mine = points[points["method"].isin(["GCS", "SCTD"]) & points["error_edge"].notna()]
    assert set(mine["part"]) == {"length", "jump"} and (mine["target"] > theory.EDGE).any()
    (edge,), (alpha_edge,) = levels(single.alphas_cumprod, [theory.EDGE])
    for row in mine.itertuples():
        (ratio,), (scale,) = levels(single.alphas_cumprod, [row.target])
        shrunk = np.hypot(0.3, edge) / np.hypot(0.3, ratio) * alpha_edge / scale
        assert row.error_edge == pytest.approx(row.error * float(shrunk), rel=1e-6)


def measured(clean: float, cds: float, gcs: float, sctd: float) -> pd.DataFrame:
    """Errors as given (CDS's to t = -1, then at the common target), a little apart in seven prompts."""
    routes = [("CDS", "to t = -1", -1, 980, clean), ("CDS", "to t = 20", 20, 980, cds)]
    routes += [("GCS", "to random e", e, 980, gcs) for e in (100, 500)]
    routes += [("SCTD", theory_fit.LARGEST, e, e + 192, sctd) for e in range(20, 980, 192)]
    return pd.DataFrame([
        {"part": part, "method": method, "region": region, "point": 0, "target": target, "t": t,
         "prompt": f"p{p}", "start": p, "length": t - target, "error": error,
         "error_edge": error * 1.01 ** (p * "CGS".index(method[0])) if target >= 20 else np.nan}
        for part in ("length", "jump") for p in range(7) for method, region, target, t, error in routes
    ])  # fmt: skip


def test_the_order_of_the_methods_is_judged_at_one_target() -> None:
    """What CDS misses on its last steps to the clean latent, where the others never go, decides nothing."""
    found = theory_fit.compare_methods(measured(clean=1.0, cds=0.1, gcs=0.2, sctd=0.01))
    verdicts = found[found["part"] == "length"].set_index(["larger", "smaller"])["verdict"].to_dict()
    cds, gcs, sctd = theory_fit.CDS, theory_fit.GCS, theory_fit.LARGEST_SCTD
    assert verdicts[cds, gcs] == "reversed"
    assert verdicts[cds, sctd] == verdicts[gcs, sctd] == "as stated"
    ratio = found.set_index(["part", "larger", "smaller"]).loc["jump", cds, sctd]
    assert 9 < ratio["ratio"] < 11 and ratio["stated"] == pytest.approx(25)
    sentences = list(theory_page.order(pd.DataFrame(columns=["part", "target_high", "method"]), found))
    assert (
        "4 of 5 pairs are in the order of their bounds; reversed: CDS to t = 20 against GCS" in sentences[0]
    )


def test_sentences_follow_the_numbers() -> None:
    """Where the worst segment's error falls as the bound does, the page says so; else it does not."""

    def sentence(power: int) -> str:
        rows = [
            {"part": part, "method": "SCTD", "region": theory.LARGEST, "point": i, "target": m, "t": m + 1,
             "error": n ** -float(power * k), "error_edge": 1.0, "length": 960 / n, "step": 4.0}
            for k, part in ((1, "length"), (2, "jump")) for i, n in enumerate((1, 3, 5, 10)) for m in range(n)
        ]  # fmt: skip
        return next(theory_page.segmentation(pd.DataFrame(rows)))

    assert "divide it by 10, about the bound's 10" in sentence(1)
    assert "divide it by 1, less than the bound's 10" in sentence(0)


def test_the_command_writes_table_figure_and_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smaller = {"STEPS": (4, 8, 16), "FIXED": 48, "LENGTHS": (48, 96), "SEGMENTS": (1, 3, 5, 10), "DRAWS": 3}
    for name, value in smaller.items():
        monkeypatch.setattr(theory, name, value)
    views = []
    for k, name in enumerate(("p01", "p02", "p03", "p04", "p05")):
        pixels = np.random.default_rng(k).integers(0, 255, (6, 32, 32, 4)).astype(np.uint8)
        views.append(tmp_path / name / "views.zip")
        write_views(pixels, views[-1])
    command = ["--views", *map(str, views), "--prior", str(PRIOR), "--starts", "1", "--out"]
    theory.main([*command, str(tmp_path / "once")])
    for name in ("theory.svg", "theory.png"):
        assert (tmp_path / "once" / name).stat().st_size > 10_000
    monkeypatch.setattr(theory, "draw", lambda *_: None)  # seconds
    theory.main([*command, str(tmp_path / "again")])
    for name in ("theory.csv", "exponents.csv", "methods.csv", "theory.md"):
        assert (tmp_path / "once" / name).read_bytes() == (tmp_path / "again" / name).read_bytes(), name
    exponents = pd.read_csv(tmp_path / "once" / "exponents.csv")
    assert set(exponents["verdict"]) <= {"agrees", "steeper", "shallower", "undecided"}
    assert set(exponents["method"]) == {"CDS", "GCS", "SCTD"}
    page = (tmp_path / "once" / "theory.md").read_text()
    assert "Where they do not" in page and "nan" not in page
    figure = (tmp_path / "once" / "theory.svg").read_text()
    for target in ("t = −1", "t = 0", "t = 20"):  # of each of CDS's curves, on page and figure
        assert f"| CDS | to {target} |" in page and f"to {target}" in figure


def test_views_may_be_encoded_by_a_prior_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "p01").mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (6, 64, 64, 4)).astype(np.uint8)
    write_views(pixels, tmp_path / "p01/views.zip")
    mixture, starts = theory.build(
        [tmp_path / "p01/views.zip"], PriorConfig(class_="toys:MixtureImages"), 3, 2, 0
    )
    assert mixture.centers.shape == (2, 3, 16, 16) and starts.z_0.shape == (2, 3, 16, 16)


def test_archives_that_cannot_be_used_end_with_one_line(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "views.zip", "w"):
        pass
    with pytest.raises(SystemExit, match="holds no PNG"):
        theory.main(["--views", str(tmp_path / "views.zip"), "--prior", str(PRIOR), "--out", str(tmp_path)])
