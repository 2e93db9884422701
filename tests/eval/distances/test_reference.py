"""The reference set: how it is split never changes it, a killed shard goes on, statistics are one file."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simulated_run as simulated

from eval.prompt_table import read_prompts
from eval.reference import draw as reference
from eval.reference.origin import ORIGIN, read_origin
from eval.reference.samples import BATCH, Batch, Sampler, batches, configure, draw, open_here
from eval.run import read_reference, read_run
from eval.tables.pooled import measure_distances
from eval.views.archive import read_views

ROOT = Path(__file__).parents[3]
PROMPTS = "prompts/smoke.tsv"
PRIOR = ["--prior", "toybox/models/prior", "--steps", "2", "--omega", "5"]


@pytest.fixture(autouse=True)
def _in_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize(("prompts", "count"), [(40, 1250), (6, 48), (3, 33), (1, 2)])
def test_batches_cover_every_image_once(prompts: int, count: int) -> None:
    work = batches([f"p{i}" for i in range(prompts)], count)
    assert sum(batch.count for batch in work) == prompts * count
    assert max(batch.count for batch in work) <= BATCH


def draw_set(out: Path, apart: bool = False, table: str = PROMPTS) -> dict[str, np.ndarray]:
    """The merged features, drawn by one job or by one for each prompt."""
    ids = list(read_prompts(table)["id"])
    for names in [[name] for name in ids] if apart else [ids]:
        places = [str(out / f"{name}.npz") for name in names]
        reference.main(
            ["draw", *PRIOR, "--prompts", table, "--prompt-id", *names, "--count", "40", "--out", *places]
        )
    shards = [str(out / f"{name}.npz") for name in ids]
    reference.main(["merge", "--shards", *shards, "--prompts", table, "--out", str(out)])
    stored = np.load(out / "features.npz")
    return {name: stored[name] for name in stored.files if name != ORIGIN}


def test_the_images_follow_every_field_of_the_sampler() -> None:
    prior, texts = open_here(configure(ROOT / "toybox/models/prior", "", None)), {"p01": "a yellow duck"}
    usual = Sampler(steps=2, omega=5.0)
    others = [Sampler(steps=3, omega=5.0), Sampler(steps=2, omega=9.0)]
    images = [
        next(draw(prior, texts, [Batch("p01", 0, 2)], sampler, "reference"))[1]
        for sampler in [usual, usual, *others]
    ]
    assert np.array_equal(images[0], images[1])
    assert not any(np.array_equal(images[0], other) for other in images[2:])


def test_a_prior_of_ones_own_has_a_reference_set_and_a_ceiling(tmp_path: Path) -> None:
    own = ["--set", "prior.class=toys:MixtureImages", "--set", "prior.path=''", "--set", "prior.sha256=''"]
    few = [*own, "--prompts", PROMPTS, "--prompt-id", "p01", "--count", "3", "--steps", "2"]
    reference.main(["draw", *few, "--out", str(tmp_path / "p01.npz")])
    with np.load(tmp_path / "p01.npz") as stored:
        origin = json.loads(str(stored[ORIGIN]))
        assert stored["thumbnails/p01/000000"].shape == (3, 64, 64, 3)
    assert origin["prior"]["class_"] == "toys:MixtureImages" and origin["prior_sha256"] == ""
    reference.main(["views", *few, "--out", str(tmp_path / "views.zip")])
    assert read_views(tmp_path / "views.zip").shape == (3, 64, 64, 4)


@pytest.fixture
def two(tmp_path: Path) -> str:
    lines = Path("prompts/toybox.tsv").read_text().splitlines(keepends=True)
    (tmp_path / "two.tsv").write_text("".join(lines[:3]))
    return str(tmp_path / "two.tsv")


def test_shards_drawn_with_other_settings_are_not_merged(tmp_path: Path, two: str) -> None:
    for name, steps in (("p01", "2"), ("p02", "3")):
        settings = ["--prompts", two, "--prompt-id", name, "--steps", steps, "--count", "2"]
        reference.main(["draw", *PRIOR, *settings, "--out", str(tmp_path / f"{name}.npz")])
    shards = [str(tmp_path / f"{name}.npz") for name in ("p01", "p02")]
    with pytest.raises(SystemExit, match="different settings") as caught:
        reference.main(["merge", "--shards", *shards, "--prompts", two, "--out", str(tmp_path / "o")])
    assert caught.value.code and not (tmp_path / "o").exists()


def test_the_set_does_not_depend_on_the_number_of_jobs(tmp_path: Path, two: str) -> None:
    whole, split = draw_set(tmp_path / "one", False, two), draw_set(tmp_path / "two", True, two)
    assert set(whole) == set(split) and all(len(values) == 40 for values in whole.values())
    assert all(np.array_equal(whole[name], split[name]) for name in whole)
    manifest = json.loads((tmp_path / "two/manifest.json").read_text())
    assert manifest["sampler"].startswith("DDIM (eta 0), 2 steps, guidance 5")
    assert len(manifest["shards"]) == len(set(manifest["identities"].values())) == 2
    assert not list(tmp_path.rglob("*.parts"))


def test_a_changed_prompt_redraws_its_own_samples_alone(
    tmp_path: Path, two: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest, drawn = reference.draw_images, []
    monkeypatch.setattr(reference, "draw_images", lambda *args: (drawn.append(args[2]), honest(*args))[1])
    draw_set(tmp_path, False, two)
    Path(two).write_text(Path(two).read_text().replace("a red bear", "a pink bear"))
    draw_set(tmp_path, False, two)
    assert [[batch.prompt_id for batch in work] for work in drawn] == [
        ["p01", "p01", "p02", "p02"],
        ["p02", "p02"],
    ]


def test_the_features_keep_the_texts_and_weights_that_they_were_made_of(tmp_path: Path) -> None:
    draw_set(tmp_path / "reference")
    path = tmp_path / "reference/features.npz"
    origin = read_origin(np.load(path), path)
    texts = dict(read_prompts(PROMPTS)[["id", "prompt"]].itertuples(index=False))
    assert (
        origin["texts"] == texts
        and set(origin["weights"]) == {"clip", "clip_config"}
        and len(origin["prior_sha256"]) == 64
    )

    def read(texts: dict[str, str], weights: dict[str, str]) -> int | None:
        found = read_reference(tmp_path, "clip", ["p01"], texts, weights)
        return found and len(found[0])

    assert read(texts, origin["weights"] | {"toy_reward": "ab"}) == 40 and read({}, {}) == 40
    with pytest.raises(
        ValueError, match="its p01 is 'a white snowman with a red hat', here it is 'a red duck'"
    ):
        read({"p01": "a red duck"}, {})
    with pytest.raises(ValueError, match="made by another clip scorer"):
        read(texts, {"clip": "ab" * 32})


def test_a_table_refuses_a_reference_of_other_texts_than_its_scores(tmp_path: Path) -> None:
    simulated.write_run(tmp_path)
    for path in tmp_path.glob("scores/*/*/*/protocol.json"):
        record = json.loads(path.read_text()) | {"prompt": f"a duck, {path.parts[-3]}"}
        path.write_text(json.dumps(record))
    features = dict(np.load(tmp_path / "reference/features.npz"))
    run = read_run(tmp_path, simulated.METHODS, [], simulated.PROMPTS, 1)
    for told, refused in (("a duck", False), ("a bear", True)):
        texts = {prompt: f"{told}, {prompt}" for prompt in simulated.PROMPTS}
        record = np.array(json.dumps({"texts": texts}))
        np.savez(tmp_path / "reference/features.npz", **features, record=record)
        with pytest.raises(ValueError, match="was made of other prompts") if refused else nullcontext():
            assert len(measure_distances(run, ["sctd"], simulated.PROMPTS))


def test_shards_are_not_merged_under_other_texts(tmp_path: Path) -> None:
    draw_set(tmp_path)
    other = tmp_path / "other.tsv"
    other.write_text(Path(PROMPTS).read_text().replace("red hat", "blue hat"))
    with pytest.raises(SystemExit, match="was made of other prompts: its p01 is"):
        reference.main(
            ["merge", "--shards", str(tmp_path / "p01.npz"), "--prompts", str(other), "--out", str(tmp_path)]
        )


def test_a_killed_shard_goes_on_from_its_finished_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [
        "draw",
        *PRIOR,
        "--prompts",
        PROMPTS,
        "--count",
        "40",
        "--scratch",
        str(tmp_path / "parts"),
        "--out",
    ]
    honest, drawn = reference.draw_images, []

    def counting(prior: Any, texts: Any, work: Any, sampler: Any, stream: Any, limit: Any) -> Any:
        for batch, images in honest(prior, texts, work, sampler, stream):
            if len(drawn) == limit:
                raise KeyboardInterrupt
            drawn.append(batch)
            yield batch, images

    monkeypatch.setattr(reference, "draw_images", lambda *args: counting(*args, limit=1))
    with pytest.raises(SystemExit, match="130"):
        reference.main([*command, str(tmp_path / "shard.npz")])
    assert len(list((tmp_path / "parts").rglob("*.npz"))) == 1
    monkeypatch.setattr(reference, "draw_images", lambda *args: counting(*args, limit=99))
    reference.main([*command, str(tmp_path / "shard.npz")])
    monkeypatch.setattr(reference, "draw_images", honest)
    reference.main([*command, str(tmp_path / "straight.npz")])
    resumed, straight = np.load(tmp_path / "shard.npz"), np.load(tmp_path / "straight.npz")
    assert all(np.array_equal(resumed[name], straight[name]) for name in straight.files)
    assert len(drawn) == len(set(drawn)) and not (tmp_path / "parts").exists()


def test_published_statistics_are_those_of_the_features(tmp_path: Path) -> None:
    stored = draw_set(tmp_path)
    pooled = np.concatenate(list(stored.values())).astype(np.float64)
    known = np.load(tmp_path / "statistics.npz")
    assert known["clip/count"] == len(pooled) and np.allclose(known["clip/mean"], pooled.mean(0))
    assert np.allclose(known["clip/cov"], np.cov(pooled.T))


def test_the_ceilings_images_are_not_the_reference_sets(tmp_path: Path) -> None:
    prior = open_here(configure(Path("toybox/models/prior"), "", None))
    texts = {"p02": "a red bear with a blue hat"}
    work = batches(["p02"], 4)
    kept, other = (
        next(iter(draw(prior, texts, work, Sampler(2, 5.0), stream)))[1]
        for stream in ("reference", "views-0")
    )
    assert np.abs(kept.astype(int) - other).mean() > 1
    reference.main(["views", *PRIOR[:2], "--prompts", "prompts/toybox.tsv", "--steps", "2", "--omega", "5",
                    "--prompt-id", "p02", "--count", "4", "--out", str(tmp_path / "views.zip")])  # fmt: skip
    views = read_views(tmp_path / "views.zip")
    assert np.array_equal(views[..., :3], other) and (views[..., 3] == 255).all()
