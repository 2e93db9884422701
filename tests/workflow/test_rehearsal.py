"""The rehearsal: networks of the published sizes in the programs' formats; its checks, its run."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import architectures
import numpy as np
import pytest
import random_weights
import rehearse_cuda
import torch
from rehearsal_checks import check_cost, check_features, check_results, check_scores, check_views
from rehearse import measured_rate, read_jobs, report_jobs

from eval.scores.clip import embed_images, embed_texts, load_clip
from eval.scores.inception import embed as embed_inception
from eval.scores.inception import load_inception
from eval.views.archive import write_views
from segmentdreamer.generate import main as generate
from segmentdreamer.prior.diffusers_prior import DiffusersPrior

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("weights")
    random_weights.write_networks(out, ["sd21-base", "clip-vit-l14", "point-e"], "tiny", seed=0)
    return out


@pytest.mark.parametrize("name", list(architectures.PUBLISHED))
def test_each_network_has_the_published_number_of_parameters(name: str) -> None:
    build = {
        "unet": lambda: architectures.unet(architectures.TRUE),
        "vae": lambda: architectures.vae(architectures.TRUE),
        "text_encoder": lambda: architectures.text_encoder(architectures.TRUE),
        "clip-vit-l14": lambda: architectures.clip("true"),
        "inception": architectures.inception,
    }
    assert architectures.parameters(build[name]()) == architectures.PUBLISHED[name]


def test_the_prior_loads_and_stays_finite(weights: Path) -> None:
    prior = DiffusersPrior(weights / "sd21-base", networks="torch")
    embedded = prior.encode_prompt(["A cat with a mullet", ""])
    assert embedded.shape == (2, 77, 32) and prior.reduction == 8
    assert 0.1 < float((embedded[0] - embedded[1]).std()) < 10  # texts are told apart
    x = torch.randn(2, 4, 8, 8)
    assert 0.1 < float(prior.eps(x, 500, embedded).std()) < 10
    image = torch.rand(1, 3, 64, 64, requires_grad=True)
    latents = prior.encode(image)
    latents.sum().backward()
    assert latents.shape == (1, 4, 8, 8) and bool(torch.isfinite(image.grad).all())
    assert prior.decode(latents.detach()).shape == (1, 3, 64, 64)


def test_the_tokenizer_is_clips_own(weights: Path) -> None:
    import open_clip
    from transformers import CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(weights / "sd21-base" / "tokenizer", local_files_only=True)
    texts = ["A DSLR photo of an ice cream sundae", "michelangelo style statue of an astronaut, side view"]
    ours = tokenizer(texts, padding="max_length", max_length=77, truncation=True)["input_ids"]
    theirs = open_clip.get_tokenizer("ViT-L-14")(texts).tolist()
    # Both pad with zero, which is "!": so SD 2.1 is set, and so an exclamation mark is read as padding.
    assert ours == theirs and len(tokenizer) == architectures.VOCABULARY


def test_the_scorer_loads_as_the_true_one_does(weights: Path) -> None:
    name = architectures.CLIP_NAMES["tiny"]
    clip = load_clip(name, str(weights / "clip-vit-l14" / "open_clip_model.safetensors"))
    images = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    embedded = embed_images(clip, images)
    assert embedded.shape == (3, 32) and np.isfinite(embedded).all()
    assert np.isfinite(embed_texts(clip, ["a cat"])).all()


def test_fids_network_loads_and_tells_pictures_apart(tmp_path: Path) -> None:
    assert random_weights.write_networks(tmp_path, ["inception"], "true", seed=0) == {}
    network = load_inception(tmp_path / "inception" / "inception.safetensors")
    pictures = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    features = embed_inception(network, pictures, "fid_clean")
    assert features.shape == (2, 2048) and np.isfinite(features).all()
    assert 0.01 < features.std() < 100 and not np.allclose(features[0], features[1])


def test_equal_seeds_give_equal_files(tmp_path: Path, weights: Path) -> None:
    random_weights.write_networks(tmp_path / "same", ["clip-vit-l14"], "tiny", seed=0)
    random_weights.write_networks(tmp_path / "other", ["clip-vit-l14"], "tiny", seed=1)
    name = "clip-vit-l14/open_clip_model.safetensors"
    assert (tmp_path / "same" / name).read_bytes() == (weights / name).read_bytes()
    assert (tmp_path / "other" / name).read_bytes() != (weights / name).read_bytes()


def test_a_network_that_is_there_is_not_written_again_unless_it_is_another(tmp_path: Path) -> None:
    cloud = tmp_path / "point-e" / "cloud.ply"
    random_weights.write_networks(tmp_path, ["point-e"], "tiny", seed=0)
    cloud.write_text("mine")
    random_weights.write_networks(tmp_path, ["point-e"], "tiny", seed=0)
    assert cloud.read_text() == "mine"
    random_weights.write_networks(tmp_path, ["point-e"], "tiny", seed=1)
    assert cloud.read_bytes().startswith(b"ply")


def test_values_keep_the_variance_of_what_enters() -> None:
    like = torch.empty(400, 900, device="meta")
    drawn = random_weights.random_values("layer.weight", like, seed=0)
    passed = torch.randn(200, 900) @ drawn.T
    assert drawn.dtype == torch.float32 and float(passed.std()) == pytest.approx(1, abs=0.02)
    assert float(random_weights.random_values("norm.weight", like[:, 0], 0).min()) == 1
    assert not random_weights.random_values("n", torch.empty(3, dtype=torch.long, device="meta"), 0).any()


def test_what_cannot_be_built_is_named_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SEGMENTDREAMER_ENVS", str(tmp_path))
    reasons = random_weights.write_networks(tmp_path / "w", ["image-reward"], "true", seed=0)
    assert "there is no environment" in reasons["image-reward"]
    assert "image-reward: left out" in capsys.readouterr().err


def test_a_method_runs_on_the_networks_from_a_cloud(weights: Path, tmp_path: Path) -> None:
    start = weights / "point-e" / "cloud.ply"
    settings = [
        f"prior.path={weights}/sd21-base", "train.steps=2", "render.size=64", "cameras.batch=1",
        "start.kind=point-e", f"start.file={start}", "start.count=400", "cameras.preset=object",
    ]  # fmt: skip
    generate(
        ["--prompt", "A cat with a mullet", "--prompt-id", "p01", "--method", "sctd", "--quiet"]
        + ["--scale", "paper", "--device", "cpu", "--out", str(tmp_path)]
        + [word for setting in settings for word in ("--set", setting)]
    )
    cost = json.loads((tmp_path / "cost.json").read_text()) | {"method": "sctd"}
    assert list(check_cost(cost, {"steps": 2, "batch": 1})) == [] and cost["gaussians"] == 400


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"steps": 1}, "1 steps, not 2"),
        ({"skipped_steps": 1}, "not finite"),
        ({"nfe": 3}, "only 3 network evaluations"),
    ],
)
def test_an_asset_that_did_not_run_as_it_should_is_found(change: dict, words: str) -> None:
    sound = {"method": "sds", "steps": 2, "skipped_steps": 0, "nfe": 8}
    numbers = {"steps": 2, "batch": 1}
    assert list(check_cost(sound, numbers)) == []
    assert words in next(iter(check_cost(sound | change, numbers)))


def test_wrong_views_features_and_scores_are_found(tmp_path: Path) -> None:
    views = tmp_path / "views/sds/p01/0/views.zip"
    views.parent.mkdir(parents=True)
    write_views(np.zeros((4, 8, 8, 4), np.uint8), views)
    numbers = {"views": 4, "side": 8, "reference": 2}
    assert list(check_views(views, numbers)) == []
    assert "not uint8 (5, 8, 8, 4)" in next(iter(check_views(views, numbers | {"views": 5})))
    features = tmp_path / "features.npz"
    np.savez(features, clip=np.full((4, 32), np.nan, np.float32))
    assert "not finite" in next(iter(check_features(features, {"clip": 32})))
    assert "has no inception_clean" in next(iter(check_features(features, {"inception_clean": 2048})))
    assert "float32 (4, 32)" in next(iter(check_features(features, {"clip": 768})))
    scores = tmp_path / "scores.csv"
    with scores.open("w", newline="") as stream:
        csv.writer(stream).writerows([["view", "metric", "value"], [0, "clip", "nan"]])
    assert "not finite" in next(iter(check_scores(scores)))


def test_a_run_that_made_nothing_is_found(tmp_path: Path) -> None:
    numbers = {"steps": 1, "batch": 1, "views": 4, "side": 64, "reference": 2}
    assert check_results(tmp_path, {"inception": ""}, numbers, "tiny") == [
        f"{tmp_path / 'tables/table1.csv'} has no rows"
    ]


def test_what_snakemake_measured_is_told_by_stage(tmp_path: Path) -> None:
    folder = tmp_path / "benchmarks/generate"
    folder.mkdir(parents=True)
    for job, row in {"sds-p01-0": "61.2\t2100", "sctd-p01-0": "75.0\t2500", "short": "0.1\t-"}.items():
        (folder / f"{job}.tsv").write_text(f"s\tmax_rss\n{row}\n")
    jobs = read_jobs(tmp_path)
    assert set(jobs["job"]) == {"generate/sds-p01-0", "generate/sctd-p01-0", "generate/short"}
    assert report_jobs(jobs).splitlines()[-1].split() == ["generate", "3", "75.0", "2.5"]


def test_the_rate_is_arithmetic_over_time() -> None:
    costs = {
        "arithmetic": {"unet": 1.0, "encode": 2.0, "encode_backward": 3.0, "decode": 10.0},
        "methods": {"gcs": {"decode": 2}},
    }
    assets = [{"method": "gcs", "nfe": 24, "seconds": 30.0}, {"method": "sds", "nfe": 8, "seconds": 10.0}]
    # (24 + 2 * 5 + 2 * 2 * 10) + (8 + 2 * 5) TFLOP in 40 s
    assert measured_rate(assets, {"steps": 1, "batch": 2}, costs) == pytest.approx(92 / 40)


def test_the_rehearsal_on_cuda_names_tests_that_are_there(tmp_path: Path) -> None:
    named = [
        word for word in rehearse_cuda.parts(tmp_path)["tests"].arguments.split() if word.endswith(".py")
    ]
    assert named and all((ROOT / path).exists() for path in named)


def test_a_run_that_the_limit_stops_may_save_its_state_and_finished_ones_are_told(tmp_path: Path) -> None:
    (tmp_path / "run.py").write_text(
        "import signal, sys, time\n"
        f"signal.signal(signal.SIGTERM, lambda *_: (open({str(tmp_path / 'saved')!r}, 'w'), sys.exit(143)))\n"
        "time.sleep(60)\n"
    )
    good, section = rehearse_cuda.rehearse("sds", rehearse_cuda.Part(f"{tmp_path}/run.py", 60), 8)
    assert not good and "stopped after 8 s" in section and (tmp_path / "saved").exists()
    assert rehearse_cuda.tabulate_runs(tmp_path) == ""
    (tmp_path / "cds").mkdir()
    cost = {"steps": 5000, "seconds": 390, "wall_seconds": 420, "nfe": 80, "encodes": 20, "gaussians": 90000}
    (tmp_path / "cds/cost.json").write_text(json.dumps(cost | {"peak_memory_mib": 1024}))
    assert "| cds | 5000 | 6.5 | 7.0 | 4.00 | 90000 | 1.0 |" in rehearse_cuda.tabulate_runs(tmp_path)


def rehearsed(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "tests/rehearsal/rehearse.py", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_whole_run_is_rehearsed_with_small_networks(tmp_path: Path) -> None:
    ran = rehearsed("--size", "tiny", "--device", "cpu", "--out", str(tmp_path))
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert "the rehearsal passed" in ran.stdout and "generate" in ran.stdout
    methods = {path.name for path in (tmp_path / "results/assets").iterdir()}
    assert {"sds", "ism", "cds", "gcs", "sctd", "start", "sphere"} <= methods


@pytest.mark.slow
def test_the_whole_run_is_rehearsed_at_the_true_size(tmp_path: Path) -> None:
    ran = rehearsed("--out", str(tmp_path))
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert "the rehearsal passed" in ran.stdout and "The full run at this rate" in ran.stdout
