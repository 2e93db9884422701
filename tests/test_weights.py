"""Weights: local folders, digests, sources that fail; and the paper scale's data, complete without them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from eval.prompts import read_prompts
from segmentdreamer import weights
from segmentdreamer.config import load_config
from segmentdreamer.weights import Source, Weights, WeightsError, obtain, read_record, read_weights

ROOT = Path(__file__).parent.parent
SCHEDULE = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
UNET = b"not much of a network"
TOY = Weights(
    title="Toy",
    license="MIT",
    waits_for="model_index.json",
    epsilon=True,
    sources={"one/toy": Source("1" * 40, False), "two/toy": Source("2" * 40, True)},
    files={
        "model_index.json": None,
        "scheduler/scheduler_config.json": None,
        "unet/weights.safetensors": hashlib.sha256(UNET).hexdigest(),
    },
)


def write_model(folder: Path, unet: bytes = UNET, prediction: str = "epsilon") -> Path:
    for part in ("scheduler", "unet"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    schedule = SCHEDULE | {"prediction_type": prediction}
    (folder / "scheduler/scheduler_config.json").write_text(json.dumps(schedule))
    (folder / "model_index.json").write_text("{}")
    (folder / "unet/weights.safetensors").write_bytes(unet)
    return folder


def never(*_) -> None:
    raise AssertionError("no network here")


def test_a_local_folder_is_linked_verified_and_recorded(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(weights, "fetch", never)
    local, out = write_model(tmp_path / "mine"), tmp_path / "weights" / "toy"
    digests = obtain(TOY, out, local)
    assert list(digests) == list(TOY.files) and read_record(out) == digests
    assert (out / "unet/weights.safetensors").resolve() == local / "unet/weights.safetensors"
    assert obtain(TOY, out) == digests  # there already: verified, not fetched


def test_a_wrong_digest_is_refused_and_nothing_is_installed(tmp_path: Path) -> None:
    out = tmp_path / "weights" / "toy"
    with pytest.raises(WeightsError, match=r"weights\.safetensors has SHA-256 .* not the list's"):
        obtain(TOY, out, write_model(tmp_path / "mine", unet=b"another"))
    assert not out.exists()


def test_a_file_without_a_listed_digest_must_stay_what_it_was_at_first(tmp_path: Path) -> None:
    local, out = write_model(tmp_path / "mine"), tmp_path / "weights" / "toy"
    obtain(TOY, out, local)
    (local / "model_index.json").write_text('{"changed": true}')
    with pytest.raises(WeightsError, match=r"model_index\.json has SHA-256 .*toy\.sha256"):
        obtain(TOY, out, local)


def test_a_v_prediction_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="v_prediction.*epsilon"):
        obtain(TOY, tmp_path / "toy", write_model(tmp_path / "mine", prediction="v_prediction"))
    assert not (tmp_path / "toy").exists()


def test_the_second_source_serves_where_the_first_has_wrong_bytes(tmp_path: Path, monkeypatch) -> None:
    def fetch(repo: str, revision: str, names: list[str], staging: Path) -> None:
        write_model(staging, unet=b"tampered" if repo == "one/toy" else UNET)

    monkeypatch.setattr(weights, "fetch", fetch)
    obtain(TOY, tmp_path / "toy")
    assert (tmp_path / "toy/unet/weights.safetensors").read_bytes() == UNET
    assert not (tmp_path / "toy.part").exists()


def test_a_download_goes_on_while_it_brings_files(tmp_path: Path, monkeypatch) -> None:
    calls: list[str] = []

    def fetch(repo: str, revision: str, names: list[str], staging: Path) -> None:
        calls.append(repo)
        whole, name = write_model(tmp_path / "hub"), names[len(calls) - 1]
        (staging / name).parent.mkdir(parents=True, exist_ok=True)
        (staging / name).write_bytes((whole / name).read_bytes())
        if len(calls) < len(names):
            raise ConnectionError("dropped")

    monkeypatch.setattr(weights, "fetch", fetch)
    obtain(TOY, tmp_path / "toy")
    assert calls == ["one/toy"] * 3


@pytest.mark.parametrize("name", ["sd21-base", "clip-vit-l14"])
def test_offline_ends_with_one_message_that_names_every_file(name: str, tmp_path: Path, monkeypatch) -> None:
    def fetch(*_) -> None:
        raise ConnectionError("no route to host\nand more")

    monkeypatch.setattr(weights, "fetch", fetch)
    monkeypatch.delenv(weights.LOCAL, raising=False)
    with pytest.raises(SystemExit) as stopped:
        weights.main([name, "--out", str(tmp_path / name)])
    message, listed = str(stopped.value), read_weights(name)
    assert message.startswith("error: no source gave") and message.count("no route") == len(listed.sources)
    assert all(f"\n  {file}" in message for file in listed.files)
    assert all(digest in message for digest in listed.files.values() if digest)
    assert f"{tmp_path / name}/" in message and "--from" in message and weights.LOCAL in message
    assert not (tmp_path / name).exists()


def test_the_variable_names_a_folder_of_folders(tmp_path: Path, monkeypatch, capsys) -> None:
    listed = tmp_path / "list.yaml"
    entry = {"title": "Toy", "license": "MIT", "waits_for": "model_index.json", "epsilon": True}
    sources = {"one/toy": {"revision": "1" * 40, "official": False}}
    listed.write_text(yaml.safe_dump({"toy": entry | {"sources": sources, "files": TOY.files}}))
    write_model(tmp_path / "store" / "toy")
    monkeypatch.setattr(weights, "fetch", never)
    monkeypatch.setenv(weights.LOCAL, str(tmp_path / "store"))
    weights.main(["toy", "--out", str(tmp_path / "w" / "toy"), "--list", str(listed)])
    assert (tmp_path / "w/toy/model_index.json").is_symlink()
    assert str(TOY.files["unet/weights.safetensors"]) in capsys.readouterr().out


def test_the_awaited_file_comes_last(tmp_path: Path, monkeypatch) -> None:
    """A killed installation must not look finished."""
    links: list[str] = []
    original = Path.symlink_to
    monkeypatch.setattr(Path, "symlink_to", lambda p, t: (links.append(p.name), original(p, t)))
    obtain(replace(TOY, epsilon=False), tmp_path / "toy", write_model(tmp_path / "mine"))
    assert links[-1] == TOY.waits_for and len(links) == 3


def test_the_list_fits_the_paper_scale() -> None:
    paper = yaml.safe_load((ROOT / "workflow/config/paper.yaml").read_text())
    config = load_config(paper["generation"])
    assert load_config("paper") == config and config.scale == paper["scale"] == "paper"
    awaited = {f"weights/{name}/{read_weights(name).waits_for}" for name in ("sd21-base", "clip-vit-l14")}
    assert awaited == {f"{config.prior.path}/model_index.json", paper["clip"]["weights"]}
    assert paper["clip"]["name"].endswith("-quickgelu")  # the same weights score wrongly without it
    assert config.train.steps == 5000 and config.render.size == paper["views"]["size"] == 512
    assert config.prompts.perp_neg and config.start.count == 81920 and config.prior.dtype == "float16"


def test_the_forty_prompts_are_the_papers() -> None:
    table = read_prompts(ROOT / "prompts/dreamfusion40.tsv")
    assert list(table["id"]) == [f"p{n:02}" for n in range(1, 41)] and table["prompt"].is_unique
    # Of the paper's list, a prompt a line: a typing slip would show.
    digest = hashlib.sha256("".join(f"{prompt}\n" for prompt in table["prompt"]).encode()).hexdigest()
    assert digest == "15fe208e61ccd28fcfb6985d54a50b174f09c680cf21e7f389c7068cee8d7f68"
    for column in table:
        assert (table[column] == table[column].str.strip()).all() and (table[column] != "").all()
    schema = yaml.safe_load((ROOT / "workflow/schemas/prompts.schema.yaml").read_text())["properties"]
    for column in ("camera", "symmetric"):
        assert set(table[column]) <= set(schema[column]["enum"])
    assert table["init_prompt"].str.fullmatch(r"[a-z ]+\.").all()
    paper = yaml.safe_load((ROOT / "workflow/config/paper.yaml").read_text())
    asked = paper["ablations"]["prompts"]
    assert len(set(asked)) == 8 and set(asked) <= set(table["id"])
