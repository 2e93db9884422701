"""Weights: local folders, digests, sources that fail, conversion; and the list that is shipped."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from eval.prompt_table import read_prompts
from segmentdreamer.config import ConfigError, load_config
from segmentdreamer.weights import commands as weights
from segmentdreamer.weights import install as installation
from segmentdreamer.weights.catalog import File, Source, Weights, is_url, read_list, read_weights
from segmentdreamer.weights.download import TransferError
from segmentdreamer.weights.install import LOCAL, WeightsError, obtain

ROOT = Path(__file__).parents[3]
UNET = b"not much of a network"
TOY = Weights(
    title="Toy",
    license="MIT",
    waits_for="model_index.json",
    sources={"one/toy": Source(False, "1" * 40), "two/toy": Source(True, "2" * 40)},
    files={
        "model_index.json": File(2),
        "scheduler/scheduler_config.json": File(100),
        "unet/weights.safetensors": File(len(UNET), hashlib.sha256(UNET).hexdigest()),
    },
)
PICKLED = Weights(
    title="Pickled",
    license="MIT",
    waits_for="net.safetensors",
    sources={"one/net": Source(True, "1" * 40)},
    files={"net.pt": File(100, becomes="net.safetensors"), "config.json": File(2)},
)


def write_model(folder: Path, unet: bytes = UNET) -> Path:
    for part in ("scheduler", "unet"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    (folder / "scheduler/scheduler_config.json").write_text("{}")
    (folder / "model_index.json").write_text("{}")
    (folder / "unet/weights.safetensors").write_bytes(unet)
    return folder


def write_checkpoint(folder: Path, state: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(state, folder / "net.pt")
    (folder / "config.json").write_text("{}")
    return folder


def write_list(path: Path, **entries: Weights) -> Path:
    plain = {name: json.loads(json.dumps(entry, default=vars)) for name, entry in entries.items()}
    path.write_text(yaml.safe_dump(plain, sort_keys=False))
    return path


def never(*_: object) -> None:
    raise AssertionError("no network here")


def test_a_local_folder_is_linked_and_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "fetch", never)
    local, out = write_model(tmp_path / "mine"), tmp_path / "weights" / "toy"
    digests = obtain(TOY, out, local)
    assert digests == {name: hashlib.sha256((local / name).read_bytes()).hexdigest() for name in TOY.files}
    assert (out / "unet/weights.safetensors").resolve() == local / "unet/weights.safetensors"
    assert obtain(TOY, out) == digests  # there already: verified, not fetched
    (local / "unet/weights.safetensors").write_bytes(b"changed")
    with pytest.raises(WeightsError, match="not the list's"):
        obtain(TOY, out)


def test_a_wrong_digest_is_refused_and_nothing_is_installed(tmp_path: Path) -> None:
    out = tmp_path / "weights" / "toy"
    with pytest.raises(WeightsError, match=r"weights\.safetensors has SHA-256 .* not the list's"):
        obtain(TOY, out, write_model(tmp_path / "mine", unet=b"another"))
    assert not out.exists()


def test_no_digest_is_pinned_by_what_came_first(tmp_path: Path) -> None:
    """A file without a listed digest is its owner's: it may change, and nothing remembers it."""
    local, out = write_model(tmp_path / "mine"), tmp_path / "weights" / "toy"
    obtain(TOY, out, local)
    (local / "model_index.json").write_text('{"changed": true}')
    obtain(TOY, out, local)
    assert sorted(path.name for path in out.parent.iterdir()) == ["toy"]


def test_a_file_of_our_own_is_written_and_the_others_are_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def fetch(url: str, path: Path, sha256: str) -> None:
        asked.append(url)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(UNET)

    monkeypatch.setattr(installation, "fetch", fetch)
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    files = {
        "model_index.json": File(2, text="{}"),
        "unet/weights.safetensors": TOY.files["unet/weights.safetensors"],
    }
    obtain(replace(TOY, files=files), tmp_path / "toy")
    assert (tmp_path / "toy/model_index.json").read_text() == "{}"
    assert asked == [f"https://huggingface.co/one/toy/resolve/{'1' * 40}/unet/weights.safetensors"]


@pytest.mark.parametrize("name", list(read_list()))
def test_offline_ends_with_one_message_that_names_every_file(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(*_: object) -> None:
        raise TransferError("no route to host")

    monkeypatch.setattr(installation, "fetch", fetch)
    monkeypatch.delenv(LOCAL, raising=False)
    with pytest.raises(SystemExit) as stopped:
        weights.main([name, "--out", str(tmp_path / name)])
    message, listed = str(stopped.value), read_weights(name)
    unknown = {name: file for name, file in listed.files.items() if not (file.sha256 or file.text)}
    assert message.startswith("error: no source gave")
    assert message.count("no route") == (0 if unknown else len(listed.sources))
    assert all(f"\n  {file}" in message for file in unknown or listed.files)
    assert all(file.sha256 in message for file in (unknown or listed.files).values() if file.sha256)
    assert f"{tmp_path / name}/" in message and "--from" in message and LOCAL in message
    assert not (tmp_path / name).exists()


def test_all_missing_weights_are_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(*_: object) -> None:
        raise TransferError("no route to host")

    monkeypatch.setattr(installation, "fetch", fetch)
    monkeypatch.delenv(LOCAL, raising=False)
    with pytest.raises(SystemExit) as stopped:
        weights.main(["--all", "--root", str(tmp_path)])
    message = str(stopped.value)
    assert all(f"Put these files into {tmp_path / name}/" in message for name in read_list())


def test_check_tells_what_is_there_what_is_missing_and_how_much(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = write_list(tmp_path / "list.yaml", toy=TOY, net=PICKLED)
    obtain(TOY, tmp_path / "w" / "toy", write_model(tmp_path / "mine"))
    with pytest.raises(SystemExit) as stopped:
        weights.main(["--check", "--root", str(tmp_path / "w"), "--list", str(listed)])
    printed = capsys.readouterr().out
    assert stopped.value.code == 1
    assert printed.splitlines()[0].startswith("there") and printed.splitlines()[1].startswith("missing")
    assert f"Put into {tmp_path / 'w/net'}/ (MIT), from one/net" in printed and "102 B to download" in printed
    obtain(PICKLED, tmp_path / "w" / "net", write_checkpoint(tmp_path / "c", {"w": torch.ones(2)}))
    with pytest.raises(SystemExit) as stopped:
        weights.main(["--check", "--root", str(tmp_path / "w"), "--list", str(listed)])
    assert stopped.value.code == 0 and "missing" not in capsys.readouterr().out


def test_the_variable_names_a_folder_of_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = write_list(tmp_path / "list.yaml", toy=TOY)
    write_model(tmp_path / "store" / "toy")
    monkeypatch.setattr(installation, "fetch", never)
    monkeypatch.setenv(LOCAL, str(tmp_path / "store"))
    weights.main(["toy", "--out", str(tmp_path / "w" / "toy"), "--list", str(listed)])
    assert (tmp_path / "w/toy/model_index.json").is_symlink()
    assert str(TOY.files["unet/weights.safetensors"].sha256) in capsys.readouterr().out


def test_the_awaited_file_comes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A killed installation must not look finished."""
    links: list[str] = []
    original = Path.symlink_to
    monkeypatch.setattr(Path, "symlink_to", lambda p, t: (links.append(p.name), original(p, t)))
    obtain(TOY, tmp_path / "toy", write_model(tmp_path / "mine"))
    assert links[-1] == TOY.waits_for and len(links) == 3


def test_a_checkpoint_is_converted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = torch.randn(3, 4)
    state = {"a": shared, "tied": shared, "t": shared.t(), "n": torch.tensor(7)}
    local, out = write_checkpoint(tmp_path / "mine", state), tmp_path / "w" / "net"
    digests = obtain(PICKLED, out, local)
    stored = load_file(out / "net.safetensors")
    assert stored.keys() == state.keys() and all(torch.equal(stored[name], state[name]) for name in state)
    assert not (out / "net.pt").exists()
    monkeypatch.setattr(installation, "to_safetensors", never)
    obtain(PICKLED, out)  # there already
    assert digests["net.pt"] == hashlib.sha256((local / "net.pt").read_bytes()).hexdigest()


def test_a_checkpoint_put_there_by_hand_is_converted_where_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installation, "fetch", never)
    out = write_checkpoint(tmp_path / "net", {"w": torch.ones(2)})
    obtain(PICKLED, out)
    assert torch.equal(load_file(out / "net.safetensors")["w"], torch.ones(2))


class Runs:
    """An object that would run code when it is unpickled."""

    def __reduce__(self) -> tuple:
        return (Path.touch, (Path("this-must-never-appear"),))


@pytest.mark.parametrize("state", [{"w": Runs()}, [torch.ones(2)], {"w": 3}])
def test_a_checkpoint_that_holds_more_than_tensors_is_refused(tmp_path: Path, state: object) -> None:
    local = write_checkpoint(tmp_path / "mine", state)
    with pytest.raises(WeightsError, match=r"net\.pt is not a"):
        obtain(PICKLED, tmp_path / "net", local)
    assert not (tmp_path / "net/net.safetensors").exists()
    assert not Path("this-must-never-appear").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"waits_for": "nothing.json"}, "waits_for 'nothing.json' is none of its files"),
        ({"sources": {"one/toy": Source(True)}}, "a repository needs a revision"),
        ({"sources": {"https://x.org": Source(True, "1" * 40)}}, "an address has none"),
        ({"sources": {"http://x.org": Source(True)}}, "http://x.org: plain http is refused"),
    ],
)
def test_an_ill_formed_list_is_refused(tmp_path: Path, change: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read_list(write_list(tmp_path / "list.yaml", toy=replace(TOY, **change)))


def test_every_listed_model_is_pinned_licensed_and_sized() -> None:
    for name, entry in read_list().items():
        assert entry.license and entry.sources and entry.bytes > 0, name
        for where, source in entry.sources.items():
            assert is_url(where) or len(source.revision) == 40, name
        for path, file in entry.files.items():
            assert file.bytes > 0, path
            assert file.sha256 is None or len(file.sha256) == 64, path
            assert file.sha256 or file.text or name in ("image-reward", "point-e"), path
            # Only Point-E's own program, in an environment of its own, reads anything else.
            assert not path.endswith((".pt", ".pth")) or file.becomes or name == "point-e", path
    assert json.loads(read_weights("sd21-base").files["model_index.json"].text)["unet"][0] == "diffusers"
    # Of SD 2.1-base in float32: 4 bytes a parameter, and some headers.
    assert 0 < read_weights("sd21-base").bytes - 4 * (865_910_724 + 83_653_863 + 340_387_840) < 3e6


def test_the_list_fits_the_paper_scale() -> None:
    paper = yaml.safe_load((ROOT / "workflow/config/paper.yaml").read_text())
    config = load_config(paper["generation"])
    assert load_config("paper") == config and config.scale == paper["scale"] == "paper"
    awaited = {f"weights/{name}/{entry.waits_for}" for name, entry in read_list().items()}
    assert {f"{config.prior.path}/model_index.json", paper["clip"]["weights"]} <= awaited
    assert {paper["inception"], f"{paper['image_reward']}/model.safetensors"} <= awaited
    assert f"{paper['image_reward']}/bert-base-uncased/vocab.txt" in awaited
    assert config.start.kind == "point-e" and "weights/point-e/upsample_40m.pt" in awaited
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
