"""Prompt tables of any spelling: the same prompts from each, or one line that says what was expected."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eval.prompt_table import read_texts

ROWS = [("duck", "a yellow duck, sitting"), ("car", 'a "green" car'), ("bear", "a red bear; with a häť")]
OBJECTS = [{"id": i, "prompt": p} for i, p in ROWS]
QUOTED = [(i, '"' + p.replace('"', '""') + '"') for i, p in ROWS]


def table(separator: str, rows: list[tuple[str, str]], header: str = "id{}prompt") -> str:
    return "\n".join([header.format(separator), *(separator.join(row) for row in rows)]) + "\n"


SPELLINGS = {
    "x.tsv": table("\t", ROWS),  # where a quote is a letter
    "x.TSV": table("\t", ROWS, "ID{}Prompt"),
    "quoted.tsv": table("\t", QUOTED, '"id"{}"prompt"'),
    "x.csv": table(",", QUOTED),
    "semicolons.csv": table(";", QUOTED),
    "tabs.csv": table("\t", QUOTED),
    "commas.tsv": table(",", QUOTED, ' "id" {} prompt '.replace(" ", "")),
    "commas.txt": table(",", QUOTED),
    "noname": table("|", QUOTED),
    "windows.tsv": "\ufeff" + table("\t", ROWS).replace("\n", "\r\n"),
    "trailing.csv": "id,prompt,,\n" + "".join(f"{i},{p},,\n" for i, p in QUOTED),
    "more.csv": "prompt,class,id\n" + "".join(f"{p},x,{i}\n" for i, p in QUOTED),
    "list.json": json.dumps(OBJECTS),
    "map.json": json.dumps(dict(ROWS)),
    "nested.JSON": "\ufeff" + json.dumps({"prompts": OBJECTS}),
    "objects.json": json.dumps({i: {"prompt": p} for i, p in ROWS}),
    "x.jsonl": "".join(json.dumps(row) + "\n" for row in OBJECTS),
    "json.txt": json.dumps(OBJECTS, indent=1),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_every_spelling_of_a_table_gives_the_same_prompts(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(SPELLINGS[name].encode())
    found = read_texts(tmp_path / name)
    assert list(zip(found["id"], found["prompt"], strict=True)) == ROWS
    assert set(found["symmetric"]) == {"no"}


def test_utf_16_with_its_mark_is_read(tmp_path: Path) -> None:
    (tmp_path / "x.tsv").write_bytes(table("\t", ROWS).encode("utf-16"))
    assert list(read_texts(tmp_path / "x.tsv")["prompt"]) == [p for _, p in ROWS]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x.txt", "a duck, sitting\na red bear, standing\n"),
        ("x.txt", "\ufeffa duck, sitting\r\n\r\n  a red bear, standing"),
        ("x.md", "prompt\na duck, sitting\na red bear, standing\n"),
        ("x.csv", '"Prompt"\n"a duck, sitting"\n"a red bear, standing"\n'),
        ("x.csv", 'prompt,class\n"a duck, sitting",duck\n"a red bear, standing",bear\n'),
        ("x.json", '["a duck, sitting", "a red bear, standing"]'),
        ("x.jsonl", '{"prompt": "a duck, sitting"}\n{"prompt": "a red bear, standing"}\n'),
    ],
)
def test_without_ids_prompts_are_numbered(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_bytes(text.encode())
    found = read_texts(tmp_path / name)
    assert found["id"].tolist() == ["p01", "p02"]
    assert found["prompt"].tolist() == ["a duck, sitting", "a red bear, standing"]


def test_one_object_of_json_lines_is_one_prompt(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"id": 7, "prompt": "a duck", "symmetric": true}\n')
    found = read_texts(tmp_path / "x.jsonl")
    assert found[["id", "prompt", "symmetric"]].to_numpy().tolist() == [["7", "a duck", "yes"]]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("x.csv", "p01,a duck\np02,a bear\n", "looks like a table"),
        ("x.txt", "p01,a duck\np02,a bear\n", "looks like a table"),
        ("x.txt", "p01\ta duck\np02\ta bear\n", "looks like a table"),
        ("x.txt", "id,text\np01,a duck\n", "looks like a table"),
        ("x.txt", "name,caption\nduck,a duck\nbear,a bear\n", "looks like a table"),
        ("x.txt", "p01: a duck\np02: a bear\n", "looks like a table"),
        ("x.yaml", "duck: a duck\nbear: a bear\n", "looks like a table"),
        ("x.txt", "1. a duck\n2. a bear\n", "looks like a table"),
        ("x.tsv", "a duck\na bear\n", "looks like a table"),
        ("x.csv", "id,prompt\np01,a duck, sitting\n", "line 2 has 3 fields, the header 2"),
        ("x.csv", "prompt,id,prompt\na,p01,b\n", "a column stands there twice: prompt, id, prompt"),
        ("x.json", '{"p01": "a duck", "p01": "a bear"}', "names a key twice: p01, p01"),
        ("x.csv", "id,prompt\np01\n", "line 2 has 1 fields, the header 2"),
        ("x.csv", 'id,prompt\np01,"a duck\np02,a bear\n', "line 3 cannot be read"),
        ("x.json", "{", "no JSON"),
        ("x.txt", "[a duck]\n", "no JSON"),
        ("x.json", '[{"id": "p01", "text": "a duck"}]', "an entry without a prompt"),
        ("x.json", '{"p01": 3}', "an entry without a prompt"),
        ("x.json", "7", "holds int"),
        ("x.txt", "", "no prompts"),
        ("x.csv", "id,prompt\n", "no prompts"),
        ("x.json", "[]", "no prompts"),
        ("x.csv", "id,prompt\np01,\n", "an empty prompt"),
        ("x.txt", "a duck\nA  Duck\n", "'A  Duck' stands there twice"),
        ("x.tsv", "id\tprompt\np01\ta duck\np01\ta bear\n", "duplicate id p01"),
    ],
)
def test_a_table_is_never_taken_for_prompts_of_a_line(
    tmp_path: Path, name: str, text: str, words: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=words) as caught:
        read_texts(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value) and "\n" not in str(caught.value)


def test_what_is_no_text_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "x.xlsx").write_bytes(b"PK\x03\x04\x9c\xff\x00")
    (tmp_path / "unmarked.tsv").write_bytes(table("\t", QUOTED).encode("utf-16-le"))
    for name in ("x.xlsx", "unmarked.tsv"):
        with pytest.raises(ValueError, match=f"{name} is not UTF-8 text"):
            read_texts(tmp_path / name)
