"""What one factor changes in all of a schedule: its steps, or its learning rates."""

from __future__ import annotations

from dataclasses import fields, is_dataclass

import pytest

from segmentdreamer.config import RATES, STEPS, ConfigError, GenerationConfig, load_config

SCALES = ("mini", "paper")
COUNTS = ("step", "refine_", "reset_", "relax_every", "warmup")  # how names of counts of steps begin


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("factor", [0.01, 0.25, 2, 3.7])
def test_a_stretched_schedule_has_every_count_of_steps_times_the_factor(scale: str, factor: float) -> None:
    plain, stretched = load_config(scale), load_config(scale, [f"train.stretch={factor}"])
    for section, names in STEPS.items():
        for name in names:
            before = getattr(getattr(plain, section), name)
            after = getattr(getattr(stretched, section), name)
            assert after == (max(round(before * factor), 1) if before else 0)
    assert stretched.train.stretch == 1  # worked in: a record that is read again is not stretched again


@pytest.mark.parametrize("scale", SCALES)
def test_one_rate_moves_all_learning_rates_and_nothing_else(scale: str) -> None:
    plain, halved = load_config(scale), load_config(scale, ["optimizer.rate=0.5"])
    changed = {
        f.name
        for f in fields(plain.optimizer)
        if getattr(plain.optimizer, f.name) != getattr(halved.optimizer, f.name)
    }
    assert changed == {*RATES}
    assert halved.optimizer.means == tuple(r / 2 for r in plain.optimizer.means)
    assert halved.train == plain.train and halved.cameras == plain.cameras


def test_no_count_of_steps_is_forgotten() -> None:
    config = load_config("mini")
    for section in (f.name for f in fields(GenerationConfig) if is_dataclass(getattr(config, f.name))):
        counted = [f.name for f in fields(getattr(config, section)) if f.name.startswith(COUNTS)]
        assert {*counted} <= {*STEPS.get(section, [])}, section


@pytest.mark.parametrize(
    "wrong", ["train.stretch=0", "train.stretch=-1", "optimizer.rate=.inf", "optimizer.rate=.nan"]
)
def test_a_factor_that_is_no_positive_number_is_refused(wrong: str) -> None:
    with pytest.raises(ConfigError, match=r"train\.stretch|optimizer\.rate"):
        load_config("mini", [wrong])


def test_without_a_factor_a_configuration_is_its_file() -> None:
    assert load_config("mini", ["train.stretch=1.0", "optimizer.rate=1.0"]) == load_config("mini")
