"""The workflow: its plan, its refusals, its two lists of dependencies."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import requires
from pathlib import Path

import pytest
import yaml
from dry_runs import commands, planned, snakemake
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from eval.prompt_table import read_prompts

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_default_plan_makes_three_assets_a_job_and_scores_a_method_at_once(tmp_path: Path) -> None:
    ran = snakemake("-n", "--quiet", "rules", "--config", f"results={tmp_path}/r")
    jobs = planned(ran.stdout + ran.stderr)
    methods = len(yaml.safe_load((ROOT / "workflow/config/default.yaml").read_text())["methods"])
    assert ran.returncode == 0, ran.stderr
    assert jobs["generate"] == methods * 2 and jobs["start"] == jobs["sphere"] == 1
    assert jobs["views"] == methods + 2 and jobs["scores"] == methods + 5
    assert jobs["truth_views"] == jobs["shuffled_views"] == 1 and jobs["prior_views"] == 2
    assert jobs["reference_shard"] == jobs["reference"] == jobs["truth"] == jobs["table1"] == 1
    assert all(jobs[name] == 1 for name in ("figures", "claims", "sheet", "report"))


def test_a_study_is_all_that_its_analysis_wrote_for_the_table(tmp_path: Path) -> None:
    (tmp_path / "study.csv").write_text("")
    ran = snakemake("table1", "-n", "--config", f"results={tmp_path}/r", f"study={tmp_path}/study.csv")
    assert ran.returncode != 0
    for ending in ("differences", "prompts"):
        assert f"{tmp_path}/study_{ending}.csv" in ran.stdout + ran.stderr


def test_the_theory_has_a_table_of_prompts_of_its_own(tmp_path: Path) -> None:
    """Enough prompts for intervals over them, whatever the run's own table holds."""
    ran = snakemake("theory", "-n", "--quiet", "rules", "--config", f"results={tmp_path}/r")
    assert planned(ran.stdout + ran.stderr) == {"theory_views": 1, "theory": 1, "total": 2}
    assert len(read_prompts(ROOT / "prompts/theory.tsv")) >= 12


def test_a_prior_of_ones_own_serves_every_stage_without_a_folder(tmp_path: Path) -> None:
    mini = yaml.safe_load((ROOT / "segmentdreamer/scales/mini.yaml").read_text())
    own = mini | {"scale": "own", "prior": {"class": "toys:MixtureImages"}}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(own))
    ran = snakemake(
        "table1", "theory", "-n", "-p", "--config", f"results={tmp_path}/r", f"generation={tmp_path}/own.yaml"
    )
    assert ran.returncode == 0, ran.stderr
    assert "model_index.json" not in ran.stdout
    for made in (
        "assets/sds/p01/0/asset.ply",
        "reference/shards/p01.npz",
        "views/prior/p01/0/views.zip",
        "theory/theory.csv",
    ):
        assert f"--scale {tmp_path}/own.yaml" in commands(ran.stdout)[f"{tmp_path}/r/{made}"]


@pytest.mark.parametrize(
    ("name", "points"),
    [
        ("n", 8),
        pytest.param("segmentation", 3, marks=pytest.mark.slow),
        pytest.param("threshold", 5, marks=pytest.mark.slow),
        pytest.param("approx", 3, marks=pytest.mark.slow),
        pytest.param("cfg", 18, marks=pytest.mark.slow),
        pytest.param("loss", 6, marks=pytest.mark.slow),
        pytest.param("stress_views", 15, marks=pytest.mark.slow),
        pytest.param("tuned", 5, marks=pytest.mark.slow),
    ],
)
def test_an_ablation_plans_each_variant_for_its_prompts_and_seeds(
    tmp_path: Path, name: str, points: int
) -> None:
    ran = snakemake(f"ablation_{name}", "-n", "--quiet", "rules", "--config", f"results={tmp_path}/r")
    jobs = planned(ran.stdout + ran.stderr)
    prompts, seeds = 6, 1
    assert ran.returncode == 0, ran.stderr
    assert jobs["generate_variant"] == points * (prompts / 3) * seeds
    assert jobs["scores_variant"] == jobs["views_variant"] == points * seeds and jobs["scores"] == 2
    assert jobs["ablation_table"] == jobs["ablation_plot"] == jobs["ablation_grid"] == 1
    assert "table1" not in jobs and "reference" not in jobs


def test_all_ablations_share_the_variants_that_they_have_in_common(tmp_path: Path) -> None:
    ran = snakemake("ablations", "-n", "--quiet", "rules", "--config", f"results={tmp_path}/r")
    jobs = planned(ran.stdout + ran.stderr)
    tuned = 5 - 2  # two stand in cfg
    assert jobs["generate_variant"] == (8 + 3 + 5 + 3 + 18 + 6 + 20 + 15 + tuned) * 2
    assert jobs["ablation_table"] == 9


@pytest.mark.parametrize(
    ("ablations", "words"),
    [
        ({"prompts": ["p01", "p99"]}, "ablations.prompts: prompts/toybox.tsv has no p99"),
        ({"sseds": 1}, "sseds"),
        ({"n": [{"method": ["sctd"], "M": [1]}]}, "unknown key 'methods.sctd.M'"),
        ({"n": [{"method": ["nope"], "N": [1]}]}, "unknown method 'nope'"),
        ({"n": [{"N": [1]}]}, "'method' is a required property"),
    ],
)
def test_a_wrong_ablation_ends_with_one_clear_line(tmp_path: Path, ablations: dict, words: str) -> None:
    if "n" in ablations:
        entry = {"title": "x", "x": "N", "panels": ["clip"], "space": ablations.pop("n")}
        (tmp_path / "spaces.yaml").write_text(yaml.safe_dump({"n": entry}))
        ablations["spaces"] = f"{tmp_path}/spaces.yaml"
    (tmp_path / "config.yaml").write_text(
        yaml.safe_dump({"results": f"{tmp_path}/r", "ablations": ablations})
    )
    ran = snakemake("ablation_n", "--configfile", f"{tmp_path}/config.yaml")
    errors = [line for line in ran.stderr.splitlines() if line.startswith("error:")]
    assert ran.returncode != 0 and len(errors) == 1 and words in errors[0], ran.stderr
    assert not (tmp_path / "r").exists()


def test_a_wrong_variant_ends_with_one_clear_line_though_no_ablation_has_it(tmp_path: Path) -> None:
    asset = f"{tmp_path}/r/assets/sctd/M~1/p01/0/asset.ply"
    ran = snakemake(asset, "-n", "--config", f"results={tmp_path}/r")
    errors = [line for line in ran.stderr.splitlines() if line.startswith("error:")]
    assert ran.returncode != 0 and len(errors) == 1, ran.stderr
    assert errors[0].startswith("error: sctd/M~1: ") and "methods.sctd.M" in errors[0]


def test_a_run_says_where_a_selections_tables_lie_and_prints_none_that_it_did_not_make(
    tmp_path: Path,
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").symlink_to(ROOT / "tests/workflow/stand_in")
    for part in ("tables/sds/table1.md", "logs/sds/claims.log"):
        (tmp_path / "r" / part).parent.mkdir(parents=True)
        (tmp_path / "r" / part).write_text(f"what {part} says")
    target = f"{tmp_path}/r/assets/sphere/p01/0/asset.ply"
    ran = snakemake(target, "--config", f"results={tmp_path}/r", "methods=[sds]", first=tmp_path / "bin")
    assert ran.returncode == 0, ran.stderr
    assert f"selected on the command line: sds; tables in {tmp_path}/r/tables/sds" in ran.stdout
    assert "what " not in ran.stdout


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("methods=[nope]", "unknown method nope"),
        ("methods=[sctd,sctdd]", "unknown method sctdd (is 'sctd' meant?); known: sds"),
        ("methods=sctd", "methods: 'sctd' is to be a list, as in 'methods=[a,b]'"),
        ("sceds=3", "configuration: no key 'sceds' (is 'seeds' meant?); known: scale"),
        ("seeds=0", "minimum"),
        ("views={fov: wide}", "views.fov: 'wide' is not of type 'number'"),
        ("views={fov: nan}", "views.fov: 'nan' is not of type 'number'"),
        ("ablations={spaces: SPACES}", "spaces.yaml: no key 'tilte' in n (is 'title' meant?)"),
        ("truth=maybe", "truth: 'maybe' is to be True or False"),
        ("reference={control: 24}", "no key 'control' in reference (is 'count' meant?)"),
        ("prompts=FISH", "fish.tsv, prompt 2: camera: 'fish' is not one of"),
        ("prompts=missing.tsv", "no such file: missing.tsv"),
        ("overrides=[train.stesp=3]", "is 'steps' meant?"),
        ("generation=OWN", "is 'steps' meant?"),  # a scale of one's own
    ],
)
def test_a_wrong_configuration_ends_with_one_clear_line(tmp_path: Path, setting: str, words: str) -> None:
    (tmp_path / "own.yaml").write_text("scale: own\ntrain: {stesp: 3}\nprior: {path: toybox/models/prior}\n")
    rows = Path("prompts/toybox.tsv").read_text().splitlines()
    (tmp_path / "fish.tsv").write_text("\n".join([*rows[:2], rows[2].replace("\tobject\t", "\tfish\t")]))
    (tmp_path / "spaces.yaml").write_text("n: {tilte: N, panels: [clip], space: [{method: [sctd]}]}\n")
    for name in ("own.yaml", "fish.tsv", "spaces.yaml"):
        setting = setting.replace(name.split(".")[0].upper(), f"{tmp_path}/{name}")
    ran = snakemake("-n", "--config", f"results={tmp_path}/r", setting)
    errors = [line for line in ran.stderr.splitlines() if line.startswith("error:")]
    assert ran.returncode != 0 and len(errors) == 1 and words in errors[0] and len(errors[0]) < 500
    assert not (tmp_path / "r").exists()


def test_numbers_and_booleans_of_the_command_line_are_read_in_every_usual_spelling(tmp_path: Path) -> None:
    settings = ["views={fov: 5e-1, count: 36}", "reference={omega: 7, shards: 2}", "truth=false", "seeds=2"]
    ran = snakemake("-n", "-p", "--config", f"results={tmp_path}/r", *settings)
    assert ran.returncode == 0, ran.stderr
    assert "--fov 0.5" in ran.stdout and "--views 36" in ran.stdout and "truth" not in planned(ran.stdout)


@pytest.mark.parametrize("views", [120, 36])
def test_the_priors_row_has_as_many_images_as_a_method_has_views(tmp_path: Path, views: int) -> None:
    target = f"{tmp_path}/r/views/prior/p01/0/views.zip"
    (tmp_path / "views.yaml").write_text(f"results: {tmp_path}/r\nviews: {{count: {views}}}\n")
    ran = snakemake(target, "-n", "--printshellcmds", "--configfile", f"{tmp_path}/views.yaml")
    assert ran.returncode == 0, ran.stderr
    (command,) = re.findall(r"python -m eval\.reference views .*", ran.stdout + ran.stderr)
    assert f"--count {views} " in command


def test_a_wrong_prompt_table_stops_the_run_before_it_starts(tmp_path: Path) -> None:
    table = (ROOT / "prompts/toybox.tsv").read_text().splitlines()
    (tmp_path / "twice.tsv").write_text("\n".join([*table, table[-1]]) + "\n")
    ran = snakemake("--config", f"results={tmp_path}/r", f"prompts={tmp_path}/twice.tsv")
    assert ran.returncode != 0 and "duplicate id p06" in ran.stderr
    assert not (tmp_path / "r").exists()


def test_forgetting_cores_is_told(tmp_path: Path) -> None:
    ran = snakemake("--config", f"results={tmp_path}/r", cores=False)
    assert ran.returncode != 0 and "--cores" in ran.stderr and not (tmp_path / "r").exists()


def test_pip_and_conda_users_get_the_locked_set() -> None:
    locked = (ROOT / "requirements.lock").read_text().split()
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    assert next(item["pip"] for item in conda if isinstance(item, dict)) == locked
    assert f"python{PROJECT['requires-python']}" in conda


def test_the_lock_has_one_version_of_all_that_is_needed_and_nothing_else() -> None:
    """`make lock` after a change of pyproject.toml."""
    lines = (ROOT / "requirements.lock").read_text().split()
    assert all(re.fullmatch(r"[\w.-]+==[0-9a-z.]+", line) for line in lines)  # no local tag, no address
    locked = {canonicalize_name(line.split("==")[0]): line.split("==")[1] for line in lines}
    direct = [Requirement(line) for line in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]]
    assert len(lines) == len(locked) and all(
        str(r.specifier) == f"=={locked[r.name.lower()]}" for r in direct
    )
    found, open_ones = set(), direct
    while open_ones:
        wanted = open_ones.pop()
        if (wanted.name, *wanted.extras) not in found:
            found.add((wanted.name, *wanted.extras))
            below = map(Requirement, requires(wanted.name) or [])
            extras = [{"extra": extra} for extra in ["", *wanted.extras]]
            open_ones += [r for r in below if not r.marker or any(map(r.marker.evaluate, extras))]
    names = {canonicalize_name(name) for name, *_ in found}
    assert {n for n in names if not n.startswith(("nvidia-", "cuda-", "triton"))} == {*locked}


def test_the_rooms_keep_their_doors() -> None:
    """The trunk knows neither workflow nor baselines, eval no baselines, and none the toybox."""
    forbidden = {
        "segmentdreamer": ("baselines", "eval", "toybox", "snakemake"),
        "eval": ("baselines", "toybox"),
        "baselines": ("eval", "toybox", "snakemake"),
    }
    for room, others in forbidden.items():
        for path in (ROOT / room).rglob("*.py"):
            imported = re.findall(r"^\s*(?:from|import) (\w+)", path.read_text(), re.M)
            assert not set(imported) & set(others), path


FOREIGN_RULE = """
rule foreign:
    output: f"{RESULTS}/assets/foreign/{{prompt}}/{{seed}}/asset.ply"
    shell: "their-program {wildcards.prompt} {wildcards.seed} {output}"
"""


def test_a_foreign_method_enters_with_an_entry_and_a_four_line_rule(tmp_path: Path) -> None:
    for name in ("segmentdreamer", "eval", "toybox", "prompts", "workflow"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "baselines").mkdir()
    registry = (ROOT / "baselines/methods.yaml").read_text()
    (tmp_path / "baselines/methods.yaml").write_text(registry + "foreign:\n  title: A foreign method\n")
    (tmp_path / "baselines/paper.yaml").symlink_to(ROOT / "baselines/paper.yaml")
    (tmp_path / "Snakefile").write_text((ROOT / "Snakefile").read_text() + FOREIGN_RULE)
    ran = snakemake("-n", "--quiet", "rules", "--config", "methods=[foreign]", "results=r", cwd=tmp_path)
    jobs = planned(ran.stdout + ran.stderr)
    assert ran.returncode == 0, ran.stderr
    assert jobs["foreign"] == 6 and "generate" not in jobs and jobs["views"] == 3  # start and sphere, too


def test_the_papers_plan_has_its_full_size(tmp_path: Path) -> None:
    """Every rule's number of jobs: 5 methods and 4 controls, 40 prompts, one seed, eight scored a job."""
    paper = ("--configfile", "workflow/config/paper.yaml", "--config", f"results={tmp_path}/r")
    ran = snakemake("-n", "--quiet", "rules", *paper)
    jobs = planned(ran.stdout + ran.stderr)
    prompts, methods = 40, 5
    assert ran.returncode == 0, ran.stderr
    assert jobs["generate"] == methods * prompts / 5 and jobs["prior_views"] == prompts / 5
    assert jobs["reference_shard"] == prompts and jobs["reference"] == 1
    assert jobs["start"] == jobs["sphere"] == jobs["shuffled_views"] == prompts / 8
    assert jobs["views"] == (methods + 2) * prompts / 8 and jobs["scores"] == (methods + 4) * prompts / 8
    assert jobs["point_e"] == prompts
    assert all(jobs[name] == 1 for name in ("table1", "figures", "claims", "sheet", "report"))
    assert "truth" not in jobs and "truth_views" not in jobs
    ablation = planned(snakemake("ablation_n", "-n", "--quiet", "rules", *paper).stdout)
    assert ablation["generate_variant"] == 8 * 2 * 3 and ablation["scores_variant"] == 8 * 3


def test_views_and_scores_of_one_asset_are_one_job_of_a_cluster(tmp_path: Path) -> None:
    paper = ("--configfile", "workflow/config/paper.yaml", "--config", f"results={tmp_path}/r")
    target = f"{tmp_path}/r/scores/sctd/p07/0/scores.csv"
    ran = snakemake(target, "-n", *paper)
    together = re.search(r"^\[.*\] Group job .*?(?=^\[|\Z)", ran.stdout + ran.stderr, re.M | re.S)
    assert together, ran.stdout + ran.stderr
    assert sorted(re.findall(r"^ +rule ([a-z]+)_\d:", together[0], re.M)) == ["scores", "views"]
