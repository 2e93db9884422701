"""The plan: its sums, its jobs against the workflow's own, its laws of growth."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import plan
import pytest
from dry_runs import planned, snakemake
from estimates import Scope, count_jobs, estimate, generation_tflop, sampling_tflop, view_tflop
from hypothesis import given
from hypothesis import strategies as st

from eval.scales import read_scale
from segmentdreamer.weights.catalog import read_list

ROOT = Path(__file__).parents[2]

COSTS = plan.read_figures()
RATES = {"step": 66.0, "sampling": 66.0}
TABLE1 = {"sds": False, "ism": True, "cds": False, "gcs": True, "sctd": True}
PAPER = Scope(
    methods=TABLE1,
    prompts=40,
    seeds=1,
    steps=5000,
    batch=4,
    side=512,
    views=120,
    view_side=512,
    reference=50_000,
    reference_steps=25,
    shards=40,
    assets_per_job=5,
    scores_per_job=8,
    truth=False,
    point_e=True,
    image_reward=True,
    gpu=True,
)
WORK = st.builds(
    Scope,
    methods=st.lists(st.sampled_from(list(TABLE1)), unique=True, min_size=1).map(
        lambda names: {name: TABLE1[name] for name in names}
    ),
    prompts=st.integers(1, 50),
    seeds=st.integers(1, 4),
    steps=st.integers(1, 5000),
    batch=st.integers(1, 8),
    side=st.sampled_from([64, 512]),
    views=st.integers(4, 120),
    view_side=st.sampled_from([64, 512]),
    reference=st.integers(2, 50_000),
    reference_steps=st.integers(1, 50),
    shards=st.integers(1, 50),
    assets_per_job=st.integers(1, 9),
    scores_per_job=st.integers(1, 60),
    truth=st.booleans(),
    point_e=st.booleans(),
    image_reward=st.booleans(),
    gpu=st.booleans(),
)


def merged(name: str) -> dict:
    return read_scale(f"{ROOT}/workflow/config/{name}.yaml")


def test_the_measured_minutes_come_out() -> None:
    rate = COSTS["devices"]["h200"]["step"]
    for perp_neg, minutes in ((True, 8.4), (False, 7.2)):
        scope = replace(PAPER, methods={"sctd": perp_neg}, prompts=1)
        assert generation_tflop(scope, COSTS) / rate / 60 == pytest.approx(minutes, rel=0.07)


def test_the_papers_plan_is_that_of_its_configuration() -> None:
    assert plan.read_scope(merged("paper")) == PAPER
    total = sum(view_tflop(name, perp_neg, COSTS) for name, perp_neg in TABLE1.items())
    assert generation_tflop(PAPER, COSTS) == pytest.approx(total * 4 * 5000 * 40)
    assert sampling_tflop(PAPER, COSTS) == pytest.approx(50 * 0.804 + 2.515)


def test_the_priors_row_is_planned_with_as_many_images_as_a_method_has_views() -> None:
    def hours(views: int) -> float:
        return estimate(replace(PAPER, views=views), COSTS, RATES).stages["controls"].gpu_hours

    image = sampling_tflop(PAPER, COSTS) / 66 / 3600
    assert hours(120) - hours(60) == pytest.approx(60 * 40 * image)


@given(WORK)
def test_the_totals_are_the_sums_of_the_stages(scope: Scope) -> None:
    made = estimate(scope, COSTS, RATES)
    assert made.gpu_hours == pytest.approx(sum(stage.gpu_hours for stage in made.stages.values()))
    assert made.bytes == pytest.approx(sum(stage.bytes for stage in made.stages.values()))
    assert made.jobs == {rule: n for rule, n in count_jobs(scope).items() if n}
    assert made.gpu_hours > 0 and all(stage.bytes >= 0 for stage in made.stages.values())


@given(WORK)
def test_assets_grow_in_proportion_to_prompts_steps_and_seeds(scope: Scope) -> None:
    once = generation_tflop(scope, COSTS)
    for factor in ("prompts", "steps", "seeds", "batch"):
        twice = replace(scope, **{factor: 2 * getattr(scope, factor)})
        assert generation_tflop(twice, COSTS) == pytest.approx(2 * once)
    assert generation_tflop(replace(scope, side=2 * scope.side), COSTS) == pytest.approx(4 * once)


@given(WORK, st.sampled_from(["prompts", "seeds", "steps", "views", "reference", "shards"]))
def test_more_never_costs_less(scope: Scope, factor: str) -> None:
    less, more = estimate(scope, COSTS, RATES), estimate(replace(scope, **{factor: 100_000}), COSTS, RATES)
    assert more.gpu_hours >= less.gpu_hours and more.bytes >= less.bytes


@given(WORK)
def test_methods_add_up(scope: Scope) -> None:
    alone = [replace(scope, methods={name: perp_neg}) for name, perp_neg in scope.methods.items()]
    assert sum(generation_tflop(one, COSTS) for one in alone) == pytest.approx(generation_tflop(scope, COSTS))
    assert sum(count_jobs(one)["generate"] for one in alone) == count_jobs(scope)["generate"]


def test_a_faster_device_takes_less_of_the_arithmetic_and_no_less_of_the_rest() -> None:
    slow, fast = (estimate(PAPER, COSTS, {"step": rate, "sampling": rate}) for rate in (66.0, 660.0))
    assert fast.stages["assets"].gpu_hours < 0.2 * slow.stages["assets"].gpu_hours
    assert fast.stages["views"] == slow.stages["views"]


def test_every_figure_names_its_source() -> None:
    for section in ("seconds", "bytes", *COSTS["devices"]):
        assert (COSTS.get(section) or COSTS["devices"][section])["source"], section


def test_what_was_not_measured_is_derived_by_the_peaks() -> None:
    measured, derived = COSTS["devices"]["h200"], COSTS["devices"]["a100"]
    for kind in RATES:
        assert derived[kind] == pytest.approx(measured[kind] * 312 / 989, rel=0.02)


def test_the_plan_says_which_card_was_measured_and_when_and_what_others_take() -> None:
    text = plan.describe(merged("paper"))
    assert re.search(r"^GPU-hours of h200, measured on one NVIDIA H200, \d+ \w+ 20\d\d", text, re.M)
    assert re.search(r"^\d+ GPU-hours of a100, derived from the H200's", text, re.M)


@pytest.mark.parametrize("name", ["paper", pytest.param("smoke", marks=pytest.mark.slow)])
def test_the_jobs_are_those_of_a_dry_run(name: str, tmp_path: Path) -> None:
    ran = snakemake(
        "table1",
        "-n",
        "--quiet",
        "rules",
        "--configfile",
        f"workflow/config/{name}.yaml",
        "--config",
        f"results={tmp_path}/r",
    )
    assert ran.returncode == 0, ran.stderr
    counts = count_jobs(plan.read_scope(merged(name)))
    dry = planned(ran.stdout + ran.stderr)
    # Rules that bring files of their own from outside: environments and weights.
    listed = {
        rule: n for rule, n in dry.items() if rule not in ("total", "environment", "weights", "point_e")
    }
    assert listed == {rule: n for rule, n in counts.items() if n and rule != "point_e"}


def test_the_plan_tells_what_is_missing_and_how_much(tmp_path: Path) -> None:
    made = plan.make_plan(merged("paper"), root=tmp_path)
    entries = read_list()
    assert set(made.missing) == set(entries)
    assert made.download == sum(entry.bytes for entry in entries.values())
    text = plan.format_plan(made, "a100", "a source")
    assert "to download: " in text and "a source" in text and all(name in text for name in entries)
    (tmp_path / "inception").mkdir()
    (tmp_path / "inception/inception.safetensors").touch()
    assert "inception" not in plan.make_plan(merged("paper"), root=tmp_path).missing


def test_a_scale_that_ships_its_models_needs_no_download(tmp_path: Path) -> None:
    made = plan.make_plan(merged("smoke"), root=tmp_path)
    assert made.download == 0 and not made.missing


def test_the_command_prints_the_plan_or_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    plan.main(["--configfile", str(ROOT / "workflow/config/paper.yaml"), "--device", "h200"])
    printed = capsys.readouterr().out
    assert re.search(r"^assets +\d+\.\d\d +[\d.]+ GB  generate 40$", printed, re.M)
    with pytest.raises(SystemExit, match="error: no device 'abacus'.*a100"):
        plan.main(["--device", "abacus"])
    with pytest.raises(SystemExit, match="error: .*nothing.yaml"):
        plan.main(["--configfile", "nothing.yaml"])
