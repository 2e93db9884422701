"""Files are whole or not there; a folder's digest is that of what is in it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from segmentdreamer.records import file_digest, folder_digest, replacing, write_json


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "a.json"
    write_json(path, {"b": 1, "a": Path("x/y")})
    assert json.loads(path.read_text()) == {"b": 1, "a": "x/y"} and list(json.loads(path.read_text())) == [
        "b",
        "a",
    ]
    with pytest.raises(KeyboardInterrupt), replacing(path) as partial:
        partial.write_text("half")
        raise KeyboardInterrupt
    with pytest.raises(TypeError, match="set does not belong in JSON"):
        write_json(path, {"a": set()})
    assert [p.name for p in path.parent.iterdir()] == ["a.json"] and json.loads(path.read_text())["b"] == 1


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with replacing(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "old" and partial.parent == path.parent
    assert path.read_text() == "new"


def test_a_folders_digest_is_of_the_names_and_bytes_of_its_visible_files(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "x").write_bytes(b"1")
    (tmp_path / "a").write_bytes(b"2")
    lines = "".join(
        f"{name}\0{hashlib.sha256(content).hexdigest()}\n" for name, content in (("a", b"2"), ("b/x", b"1"))
    )
    digest = folder_digest(tmp_path)
    assert digest == hashlib.sha256(lines.encode()).hexdigest() and file_digest(tmp_path / "a") in lines
    for hidden in (".DS_Store", ".cache/huggingface/lock", "b/.gitattributes"):
        (tmp_path / hidden).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / hidden).touch()
    assert folder_digest(tmp_path) == digest
    (tmp_path / "b" / "x").rename(tmp_path / "b" / "y")
    assert folder_digest(tmp_path) != digest
    assert (
        folder_digest(tmp_path, [tmp_path / "a"]) == folder_digest(tmp_path, iter([tmp_path / "a"])) != digest
    )
