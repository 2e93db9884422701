"""Prompts are shared out among jobs: each once, in their order, none too large, all nearly alike."""

from __future__ import annotations

from pathlib import Path

import yaml
from batches import jobs, split
from dry_runs import planned, snakemake
from hypothesis import given
from hypothesis import strategies as st

from eval.prompt_table import read_prompts
from eval.scales import read_scale

ROOT = Path(__file__).parents[2]


@given(st.integers(1, 200), st.integers(2, 60))
def test_every_prompt_is_in_one_batch_and_batches_differ_by_one_at_most(count: int, most: int) -> None:
    ids = [f"p{i}" for i in range(count)]
    batches = split(ids, most, "_variant")
    sizes = [len(batch.prompts) for batch in batches]
    assert [name for batch in batches for name in batch.prompts] == ids
    assert max(sizes) <= most and max(sizes) - min(sizes) <= 1 and len(batches) == jobs(count, most)
    assert len({batch.name for batch in batches}) == len({batch.label for batch in batches}) == len(batches)
    assert len(batches) > 1 or batches[0].name == "_variant"


def test_an_asset_a_job_is_one_rule_of_any_prompt() -> None:
    (batch,) = split(["p01", "p02"], 1)
    assert batch.name == "" and batch.prompts == ["{prompt}"] and batch.label == "{prompt}-{seed}"


def test_forty_prompts_of_two_seeds_are_eighty_jobs_and_all_are_made(tmp_path: Path) -> None:
    config = ("--configfile", "workflow/config/toybox40.yaml", "--config", f"results={tmp_path}/r")
    counts = planned(snakemake("-n", "--quiet", "rules", *config).stdout)
    assert counts["generate"] == 5 * 8 * 2 and counts["prior_views"] == 8 * 2
    assert counts["scores"] == 10 * 2 and counts["reference_shard"] == 4 and counts["total"] < 160
    variants = planned(snakemake("ablation_n", "-n", "--quiet", "rules", *config).stdout)
    assert variants["generate_variant"] == 8 * 3 and variants["scores_variant"] == 8


def test_the_ablations_of_forty_prompts_have_a_dozen_of_all_classes_and_both_kinds() -> None:
    chosen = read_scale(f"{ROOT}/workflow/config/toybox40.yaml")["ablations"]["prompts"]
    table = read_prompts(ROOT / "prompts/toybox40.tsv").set_index("id")
    some = table.loc[chosen]
    assert len(some) == 12 and set(some["class"]) == set(table["class"])
    for column in ("category_colors", "category_split", "category_front"):
        assert set(some[column]) == set(table[column])
        assert abs((some[column].value_counts(True) - table[column].value_counts(True)).max()) < 0.15
    assert yaml.safe_load((ROOT / "workflow/config/toybox40.yaml").read_text())["seeds"] == 2
