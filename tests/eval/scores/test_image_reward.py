"""ImageReward: the package's own scores, in batches; its environment; refusals in one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import image_reward_random
import numpy as np
import pandas as pd
import pytest
import torch

from eval.scores import image_reward
from eval.views.archive import write_failure

ROOT = Path(__file__).parents[3]
PROMPTS = ROOT / "prompts/toybox.tsv"
ENVIRONMENTS = Path(os.environ.get("SEGMENTDREAMER_ENVS", ROOT / ".envs")).absolute()
WEIGHTS = Path(os.environ.get("SEGMENTDREAMER_WEIGHTS", ROOT / "weights")).absolute() / "image-reward"
PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


def run(*command: str | Path, cwd: Path = ROOT, **variables: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"PATH": PATH, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | variables
    words = [str(word) for word in command]
    return subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


# The environment


SNAKEFILE = """
include: "{root}/workflow/rules/plan/isolated.smk"
include: "{root}/workflow/rules/environments.smk"
rule use:
    input: environment("tiny")
    output: "used.txt"
    params: python=python_of("tiny")
    shell: "{{params.python}} -c 'import sys; print(sys.prefix)' >> {{output}}"
"""


@pytest.fixture(scope="module")
def workflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workflow with one isolated environment, which was built and used."""
    folder = tmp_path_factory.mktemp("workflow")
    (folder / "workflow/envs").mkdir(parents=True)
    (folder / "workflow/scripts").symlink_to(ROOT / "workflow/scripts")
    (folder / "workflow/envs/tiny.txt").write_text("# nothing but Python\n")
    (folder / "Snakefile").write_text(SNAKEFILE.format(root=ROOT))
    built = snakemake(folder)
    assert built.returncode == 0, built.stderr
    return folder


def snakemake(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    return run("snakemake", "--cores", "1", *arguments, cwd=folder, SEGMENTDREAMER_ENVS=".envs")


def test_a_rule_runs_in_the_environment_that_another_rule_built(workflow: Path) -> None:
    assert (workflow / "used.txt").read_text() == f"{workflow}/.envs/tiny\n"
    assert (workflow / ".envs/tiny/installed.txt").exists()


def test_other_requirements_build_the_environment_anew_and_repeat_its_work(workflow: Path) -> None:
    os.utime(workflow / "workflow/envs/tiny.txt")  # a fresh checkout's list is newer, and the same
    assert "Nothing to be done" in snakemake(workflow, "-n").stdout
    (workflow / "workflow/envs/tiny.txt").write_text("# another\n")
    plan = snakemake(workflow, "-n").stdout
    assert "rule environment:" in plan and "rule use:" in plan


def test_requirements_that_do_not_exist_leave_no_environment_behind(tmp_path: Path) -> None:
    (tmp_path / "wrong.txt").write_text("./not-here\n")
    ran = run(ROOT / "workflow/scripts/build_environment", "wrong.txt", "env", cwd=tmp_path)
    assert ran.returncode != 0 and not (tmp_path / "env/installed.txt").exists()


def test_every_requirement_of_image_reward_is_pinned() -> None:
    lines = (ROOT / "workflow/envs/image_reward.txt").read_text().splitlines()
    pins = [line.split("#")[0].strip() for line in lines if line.split("#")[0].strip()]
    assert {"image-reward==1.5", "torch==2.13.0", "transformers==4.55.4"} <= set(pins)
    assert [pin for pin in pins if "==" not in pin] == ["setuptools<81"]


# Refusals and failures, without the package


def command_line(folder: Path, views: Path, *more: str) -> list[str]:
    return [
        "--views",
        str(views),
        "--prompt-id",
        "p01",
        "--prompts",
        str(PROMPTS),
        "--out",
        str(folder),
        "--weights",
        str(folder / "weights"),
        "--device",
        "cpu",
        *more,
    ]


def test_absent_weights_are_told_in_one_line_with_what_to_put_where(tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights/med_config.json").write_text("{}")
    with pytest.raises(SystemExit) as refused:
        image_reward.main(command_line(tmp_path, tmp_path / "views.zip"))
    told = str(refused.value)
    folder = tmp_path / "weights"
    assert f"needs model.safetensors, bert-base-uncased/vocab.txt in {folder}/" in told
    assert f"weights image-reward --out {folder}`" in told and "\n" not in told
    assert f"weights image-reward/bert-base-uncased --out {folder}/bert-base-uncased`" in told


def test_the_wrong_environment_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    image_reward_random.write_stand_ins(tmp_path / "weights")
    (tmp_path / "weights/model.safetensors").touch()
    with pytest.raises(SystemExit, match="workflow/envs/image_reward.txt"):
        image_reward.main(command_line(tmp_path, tmp_path / "views.zip"))


def test_an_unknown_prompt_is_refused_before_the_model_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="error: .*toybox.tsv has no prompt p99"):
        image_reward.main([*command_line(tmp_path, tmp_path / "views.zip"), "--prompt-id", "p99"])


def test_a_failed_asset_has_a_score_file_without_rows(tmp_path: Path) -> None:
    write_failure("out of memory", tmp_path / "views.zip")
    rows, failed = image_reward.score_archive(None, tmp_path / "views.zip", "a cat")
    assert failed == "out of memory"
    image_reward.write_rewards(rows, {}, tmp_path)
    assert (tmp_path / "image_reward.csv").read_text() == "view,metric,value\n"


def test_in_a_plan_views_that_cannot_be_read_have_failed(tmp_path: Path) -> None:
    (tmp_path / "views.zip").write_bytes(b"no archive")
    rows, failed = image_reward.score_archive(None, tmp_path / "views.zip", "a cat", planned=True)
    assert len(rows) == 0 and "not an archive of views" in failed
    with pytest.raises(ValueError, match="not an archive of views"):
        image_reward.score_archive(None, tmp_path / "views.zip", "a cat")


@pytest.mark.parametrize(
    ("missing", "unexpected", "words"),
    [
        (["weight"], [], "lacks weight"),
        ([], ["mlp.layers.9.weight"], "should not have mlp.layers.9.weight"),
        (["bias"], ["b"], "lacks bias; should not have b"),
    ],
)
def test_weights_of_another_network_are_named(missing: list, unexpected: list, words: str) -> None:
    network = torch.nn.Linear(2, 2)
    state = {name: weight for name, weight in network.state_dict().items() if name not in missing}
    with pytest.raises(ValueError, match=words):
        image_reward.install(network, state | dict.fromkeys(unexpected, torch.zeros(1)))


def test_the_stand_in_vocabulary_has_the_true_size_and_keeps_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "med_config.json").write_text("mine")
    image_reward_random.write_stand_ins(tmp_path)
    words = (tmp_path / "bert-base-uncased/vocab.txt").read_text().splitlines()
    assert len(words) == len(set(words)) == 30522  # bert-base-uncased's; two are added
    assert (tmp_path / "med_config.json").read_text() == "mine"


# Against the package, in its environment


@pytest.fixture(scope="module")
def python() -> Path:
    """The isolated environment's Python; builds the environment if it is not there (minutes)."""
    folder = ENVIRONMENTS / "image_reward"
    if not (folder / "installed.txt").exists():
        build = ROOT / "workflow/scripts/build_environment"
        built = run(build, ROOT / "workflow/envs/image_reward.txt", folder)
        assert built.returncode == 0, built.stderr
    return folder / "bin/python"


def figures(python: Path, *arguments: str | Path) -> dict[str, Any]:
    ran = run(python, "tests/eval/scores/image_reward_parity.py", *arguments)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def small(python: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return figures(python, "small", tmp_path_factory.mktemp("small"))


@pytest.mark.slow
def test_batches_score_as_the_package_does_one_image_at_a_time(small: dict[str, Any]) -> None:
    assert small["spread"] > 0.1  # the weights tell images apart, or parity would mean nothing
    assert small["parity"] < 1e-4 and small["one"] < 1e-4
    assert small["dtype"] == "float32" and small["shape"] == [5]


@pytest.mark.slow
@pytest.mark.parametrize("step", ["normalization", "squeezed", "bilinear", "other_text"])
def test_parity_would_notice_a_wrong_step(small: dict[str, Any], step: str) -> None:
    assert small[step] > 1e-3


@pytest.mark.slow
def test_prompts_are_cut_at_35_tokens(small: dict[str, Any]) -> None:
    assert small["cut"] == 0 and small["before_the_cut"] > 1e-3


@pytest.mark.slow
def test_the_batch_size_changes_no_score(small: dict[str, Any]) -> None:
    assert small["batch"] < 1e-3


@pytest.mark.slow
def test_the_network_takes_its_own_weights_alone(small: dict[str, Any]) -> None:
    assert "lacks mlp.layers.0.bias" in small["renamed"] and "should not have mlp.bias" in small["renamed"]
    assert "mlp.layers.4.bias" in small["reshaped"] and "\n" not in small["reshaped"]
    assert small["without_positions"] == ""


@pytest.mark.slow
def test_at_the_published_size_the_command_line_scores_as_the_packages_own_loader(
    python: Path, tmp_path: Path
) -> None:
    """Checkpoint -> safetensors -> CLI -> csv, against checkpoint -> the package's load and score."""
    weights = tmp_path / "weights"
    try:
        expected = figures(python, "true", weights)
        write_failure("out of memory", tmp_path / "failed.zip")
        ran = run(
            python,
            "-m",
            "eval.scores.image_reward",
            "--views",
            weights / "views.zip",
            tmp_path / "failed.zip",
            "--prompt-id",
            "p02",
            "p01",
            "--prompts",
            PROMPTS,
            "--weights",
            weights,
            "--out",
            tmp_path / "a",
            tmp_path / "b",
            "--device",
            "cpu",
        )
    finally:
        for name in ("ImageReward.pt", "model.safetensors"):  # 1.8 GB each
            (weights / name).unlink(missing_ok=True)
    assert ran.returncode == 0, ran.stderr
    assert (
        expected["parameters"] == 446_665_953
    )  # 446.7 M; as float32 all but the names of the published file
    scored, record = pd.read_csv(tmp_path / "a/image_reward.csv"), read_json(tmp_path / "a/image_reward.json")
    assert scored["view"].tolist() == [0, 1] and set(scored["metric"]) == {"image_reward"}
    assert np.ptp(expected["theirs"]) > 0.05
    np.testing.assert_allclose(scored["value"], expected["theirs"], atol=1e-4)
    assert record["status"] == "ok" and "35 tokens" in record["protocol"]["image_reward"]
    assert pd.read_csv(tmp_path / "b/image_reward.csv").empty
    assert read_json(tmp_path / "b/image_reward.json")["reason"] == "out of memory"


def read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


@pytest.mark.slow
def test_the_published_scores_of_the_packages_four_sample_images(python: Path) -> None:
    """https://github.com/zai-org/ImageReward, README: assets/images/{1..4}.webp."""
    images = Path(os.environ.get("IMAGE_REWARD_IMAGES", WEIGHTS / "images"))
    if not (WEIGHTS / "model.safetensors").exists() or not (images / "1.webp").exists():
        pytest.skip(f"needs the published weights in {WEIGHTS} and the package's sample images in {images}")
    scores = figures(python, "golden", WEIGHTS, images)["scores"]
    np.testing.assert_allclose(scores, [0.5812, 0.2745, -1.4132, -2.0296], atol=5e-3)
