"""One selection never overwrites another: tables have names, and folders keep their settings."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
import simulated_run
import yaml
from dry_runs import commands, snakemake
from selection import check_folder, keep_settings, selections, settings_of, stated

from eval.claims import decision as claims
from eval.metrics import control_title
from eval.plots import figures
from eval.reference import draw as reference
from eval.tables import table1 as table

ROOT = Path(__file__).parents[2]
DEFAULT = {
    "results": "results/mini",
    "methods": ["sds", "sctd"],
    "seeds": 1,
    "ablations": {"prompts": ["p01", "p02"], "seeds": 1, "spaces": "spaces.yaml"},
}


def selected(**changes: object) -> tuple[str, str, str]:
    return selections({**DEFAULT, **changes}, DEFAULT)


def test_what_the_config_files_say_has_no_name_and_all_else_has_a_readable_one() -> None:
    assert selected() == selected(study="") == ("", "", "")
    assert selected(methods=["sctd"], seeds=3) == ("sctd-3seeds", "", "sctd-3seeds")
    assert selected(methods=["sctd", "sds"])[0] == "sctd+sds"
    assert re.fullmatch(r"study_mine_[0-9a-f]{6}", selected(study="a/mine.csv")[0])
    fewer = {**DEFAULT["ablations"], "prompts": ["p02"], "seeds": 2}
    assert selected(ablations=fewer) == ("", "ablations_p02-2seeds", "ablations_p02-2seeds")
    assert selected(ablations=fewer, seeds=2)[2] == "2seeds-ablations_p02-2seeds"


def test_no_two_selections_share_a_name_nor_is_any_too_long_for_a_path() -> None:
    methods = [
        ["sds"],
        ["sctd"],
        ["sds", "sctd"],
        ["sctd", "sds"],
        [f"method_{i}" for i in range(30)],
        [f"method_{i}" for i in range(31)],
    ]
    studies = ["", "a/mine.csv", "b/mine.csv", "a/mine.tsv", "mine.csv", "ä ö/~/$(x).csv"]
    asked = list(itertools.product(methods, [1, 2, 12], studies))
    names = {selected(methods=m, seeds=n, study=s)[0] for m, n, s in asked}
    assert len(names) == len(asked)
    assert all(len(name) < 100 and re.fullmatch(r"[\w.+-]*", name, re.ASCII) for name in names)


def test_a_file_that_names_no_folder_selects_from_the_one_before_it_as_the_command_line_does() -> None:
    mine, own = {"methods": ["ism"]}, {"methods": ["ism"], "results": "results/mine"}
    assert stated([DEFAULT, mine]) == DEFAULT
    assert stated([DEFAULT, own])["methods"] == ["ism"]
    assert stated([DEFAULT, own, mine])["results"] == "results/mine"
    nested = {"results": "r", "ablations": {"seeds": 3}}
    assert stated([DEFAULT, nested])["ablations"] == {**DEFAULT["ablations"], "seeds": 3}


def plan(tmp_path: Path, *config: str, targets: tuple[str, ...] = (), files: tuple[str, ...] = ()) -> dict:
    """path -> command of a dry run into a folder of its own, which is cut off the paths."""
    ran = snakemake(*targets, "-n", "-p", *files, "--config", f"results={tmp_path}/r", *config)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    found = commands(ran.stdout + ran.stderr)
    return {path.removeprefix(f"{tmp_path}/r/"): command for path, command in found.items()}


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> dict:
    root = tmp_path_factory.mktemp("usual")
    made = plan(root, targets=("all", "ablation_n"))
    return {path: command.replace(str(root), "ROOT") for path, command in made.items()}


@pytest.mark.parametrize(
    ("config", "folder"),
    [
        (("methods=[sctd]", "seeds=3"), "sctd-3seeds"),
        (("methods=[sds,ism]",), "sds+ism"),  # its control `shuffled` is made of other assets
        (("study=STUDY/mine.csv",), "study_mine_"),
        (("ablations={prompts: [p02, p01]}",), "ablations_p02+p01"),
    ],
)
def test_a_selection_makes_no_file_of_another_otherwise(
    tmp_path: Path, usual: dict, config: tuple[str, ...], folder: str
) -> None:
    for name in ("mine", "mine_prompts", "mine_differences"):  # what eval.study.commands analyse writes
        (tmp_path / f"{name}.csv").touch()
    config = tuple(item.replace("STUDY", str(tmp_path)) for item in config)
    made = plan(tmp_path, *config, targets=("all", "ablation_n"))
    shared = [path for path in made if path in usual]
    assert shared and any(path.startswith("assets/") for path in shared)  # assets are made once
    of_variants = [path for path in shared if "~" in path]  # one job for the prompts of the ablation
    for path in set(shared) - set(of_variants):
        assert made[path].replace(str(tmp_path), "ROOT") == usual[path], path
    own = {path for path in made if path not in usual and path.startswith(("tables/", "plots/"))}
    assert own and all(path.split("/")[1].startswith(folder) for path in own)
    kind = "ablation_n.md" if "ablations" in config[0] else "table1.md"
    assert any(path.endswith(kind) for path in own)


def test_programs_are_told_the_name_where_there_is_one_and_nothing_where_there_is_none(
    tmp_path: Path, usual: dict
) -> None:
    made = plan(tmp_path, "seeds=3", "ablations={prompts: [p02]}", targets=("all", "ablation_n"))
    for path, name in (
        ("table1.md", "3seeds"),
        ("claims.md", "3seeds-ablations_p02"),
        ("ablation_n.md", "ablations_p02"),
    ):
        assert "--selection" not in usual[f"tables/{path}"] and "--ablations" not in usual[f"tables/{path}"]
        assert f" --selection {name.removesuffix('-ablations_p02')} " in made[f"tables/{name}/{path}"]
    assert " --ablations ablations_p02 " in made["tables/3seeds-ablations_p02/claims.md"]
    assert " --selection 3seeds " in made["plots/3seeds/heat_map.svg"]


def test_a_later_file_without_a_folder_has_tables_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"methods": ["ism"]}))
    made = plan(tmp_path, files=("--configfile", f"{tmp_path}/mine.yaml"))
    assert "tables/ism/table1.md" in made and "tables/table1.md" not in made


def test_the_papers_and_the_smoke_runs_files_state_their_own_tables(tmp_path: Path) -> None:
    for name in ("paper", "smoke"):
        made = plan(tmp_path, files=("--configfile", f"workflow/config/{name}.yaml"))
        assert {"tables/table1.md", "tables/claims.md", "tables/sheet.png", "plots/heat_map.svg"} <= set(made)


def test_a_finished_folder_is_not_made_anew_with_other_settings_or_prompts(tmp_path: Path) -> None:
    """The real thing: one asset, then what other commands would do to it."""
    target, folder = f"{tmp_path}/r/assets/sphere/p01/0/asset.ply", f"results={tmp_path}/r"
    ran = snakemake(target, "--config", folder)
    assert ran.returncode == 0, ran.stderr
    assert yaml.safe_load((tmp_path / "r/settings.yaml").read_text())["views.radius"] == 4.1
    rows = (ROOT / "prompts/toybox.tsv").read_text()
    (tmp_path / "other.tsv").write_text(rows.replace("white snowman", "yellow snowman"))
    (tmp_path / "few.yaml").write_text(yaml.safe_dump({"reference": {"count": 8}}))
    for change, words in [
        (["overrides=[train.steps=3]"], "was made with overrides [], not ['train.steps=3']. Give this run a"),
        ([f"prompts={tmp_path}/other.tsv"], "was made with prompts 'prompts/toybox.tsv', not"),
        (["--configfile", f"{tmp_path}/few.yaml"], "was made with reference.count 48, not 8"),
    ]:
        ran = snakemake(target, "-n", "--config", folder, *change)
        errors = [line for line in ran.stderr.splitlines() if line.startswith("error:")]
        assert ran.returncode != 0 and len(errors) == 1 and words in errors[0], ran.stderr
    ran = snakemake(target, "-n", "--config", folder, "seeds=2", "methods=[ism]", "device=cpu")
    assert ran.returncode == 0, ran.stderr


def test_a_prompt_may_be_added_to_a_folder_but_not_exchanged_under_its_id(tmp_path: Path) -> None:
    config = {"results": "r", "prompts": "p.tsv", "methods": ["sctd"], "views": {"radius": 3.5}}
    rows = [{"id": "p01", "prompt": "a duck", "camera": "object"}]
    keep_settings(str(tmp_path), settings_of(config, rows))
    check_folder(str(tmp_path), settings_of(config, [*rows, {"id": "p02", "prompt": "a car"}]))
    for changed, words in [
        ({"prompt": "a red duck"}, "texts.p01.prompt 'a duck', not 'a red duck'"),
        ({"camera": "animal"}, "texts.p01.camera 'object', not 'animal'"),
    ]:
        with pytest.raises(ValueError, match=words):
            check_folder(str(tmp_path), settings_of(config, [rows[0] | changed]))
    keep_settings(str(tmp_path), settings_of(config, [{"id": "p02", "prompt": "a car"}]))
    with pytest.raises(ValueError, match=r"texts\.p01\.prompt"):
        check_folder(str(tmp_path), settings_of(config, [rows[0] | {"prompt": "a red duck"}]))
    check_folder(str(tmp_path / "fresh"), settings_of({**config, "prompts": "other.tsv"}, rows))


def test_tables_figures_and_claims_of_a_selection_stand_together_and_their_links_lead_to_the_assets(
    tmp_path: Path,
) -> None:
    root = simulated_run.write_run(tmp_path / "r")
    arguments = simulated_run.arguments(root)
    table.main(arguments)
    before = {path: path.read_bytes() for path in (root / "tables").iterdir()}
    several = arguments.index("--methods")
    fewer = [*arguments[: several + 1], "sds", "sctd", *arguments[several + 1 + len(simulated_run.METHODS) :]]
    table.main([*fewer, "--selection", "sds+sctd"])
    figures.main(["--results", str(root), "--selection", "sds+sctd"])
    claims.main(["--results", str(root), "--selection", "sds+sctd"])
    assert all(path.read_bytes() == content for path, content in before.items())
    named = root / "tables/sds+sctd"
    assert list(json.loads((named / "table1.json").read_text())["methods"]) == ["sds", "sctd"]
    assert (named / "claims.md").exists() and (root / "plots/sds+sctd/heat_map.svg").exists()
    assert not (root / "tables/claims.md").exists() and not (root / "plots/heat_map.svg").exists()
    links = re.findall(r'href="([^"#]+)"', (named / "table1.html").read_text())
    assert links and all((named / link).exists() for link in links)


def test_a_control_of_another_method_is_called_by_what_it_is() -> None:
    assert control_title("shuffled_sds", "SDS") == control_title("shuffled", "SDS")
    assert control_title("shuffled_sds", "SDS") == "SDS's assets under other prompts"


def test_a_killed_shard_of_other_settings_or_texts_is_not_gone_on_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    (tmp_path / "prompts.tsv").write_text((ROOT / "prompts/smoke.tsv").read_text())
    command = ["draw", "--prior", "toybox/models/prior", "--prompts", str(tmp_path / "prompts.tsv"),
               "--omega", "5", "--count", "4", "--scratch", str(tmp_path / "parts")]  # fmt: skip
    honest, drawn = reference.draw_images, []

    def killed(prior: Any, texts: Any, work: Any, sampler: Any, stream: Any) -> Any:
        drawn.append(list(work))
        yield from honest(prior, texts, work, sampler, stream)
        raise KeyboardInterrupt

    monkeypatch.setattr(reference, "draw_images", killed)
    for steps, text in (("2", "snowman"), ("2", "snowman"), ("3", "snowman"), ("2", "bear")):
        rows = (ROOT / "prompts/smoke.tsv").read_text().replace("white snowman", f"white {text}")
        (tmp_path / "prompts.tsv").write_text(rows)
        with pytest.raises(SystemExit, match="130"):
            reference.main([*command, "--steps", steps, "--out", str(tmp_path / "shard.npz")])
    assert [len(work) for work in drawn] == [1, 0, 1, 1]
