"""The prompt table: read once, checked at the door."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pandas as pd

from segmentdreamer.records import shipped

REQUIRED = ("id", "prompt", "init_prompt", "camera", "symmetric")
SEPARATORS = "\t,;|"
ALONE = "\x1f"  # stands in no text: the separator of a table with one column
SYMMETRIC = {"yes": "yes", "true": "yes", "1": "yes", "no": "no", "false": "no", "0": "no", "": "no"}
NUMBERED = r"\s*\"?(id|[A-Za-z]{0,3}_?\d+)\"?\s*[:.),;|]"  # p01, a cat; 1. a cat
FIELD = r"\s*[^\s:,;|]+([,;|]\S|:\s)"  # cat,a cat (in prose a space follows the comma); cat: a cat
EXPECTED = (
    "expected a table with columns id and prompt (tabs, commas or semicolons), JSON (objects with id and "
    "prompt, or id: prompt), or a prompt a line"
)


def read_prompts(path: Path | str) -> pd.DataFrame:
    """The prompts of a run as strings, in file order: a table with all columns, or JSON as read_texts has it.

    JSON's entries have `init_prompt` from their prompt where they have none. Raises ValueError for a missing
    column, a duplicate or ill-formed id, an empty or repeated prompt, and FileNotFoundError; each message is
    one line that names the file.
    """
    rows, kind = read_rows(path := shipped(path))
    if kind == "JSON":
        rows = [row | {"init_prompt": row.get("init_prompt") or row["prompt"]} for row in rows]
    elif missing := [name for name in REQUIRED if rows and name not in rows[0]]:
        raise ValueError(f"{path}: missing column {', '.join(missing)}")
    return check(fill_in(rows), path)


def check(table: pd.DataFrame, path: Path | str) -> pd.DataFrame:
    """The table itself, if it is sound (see read_prompts)."""
    repeated = sorted(set(table["id"][table["id"].duplicated()]))
    if repeated:
        raise ValueError(f"{path}: duplicate id {', '.join(repeated)}")
    wrong = [name for name in table["id"] if not name.isalnum()]
    if wrong:
        raise ValueError(f"{path}: id {wrong[0]!r} is not made of letters and digits")
    if (table["prompt"].str.strip() == "").any():
        raise ValueError(f"{path}: an empty prompt")
    if not len(table):
        raise ValueError(f"{path}: no prompts")
    if odd := sorted({*table["symmetric"]} - {"yes", "no"}):
        raise ValueError(f"{path}: symmetric is yes or no, not {odd[0][:40]!r}")
    alike = table["prompt"].map(plain).duplicated()
    if alike.any():  # no view could have its own prompt first
        raise ValueError(f"{path}: the prompt {table['prompt'][alike].iloc[0]!r} stands there twice")
    return table


def categories(table: pd.DataFrame) -> dict[str, dict[str, str]]:
    """What divides the prompts: column (category, category_*) -> prompt -> its value, `other` for none.

    A column of which no two prompts share a value makes no table, and is left out.
    """
    names = [name for name in table if re.fullmatch("category(_.+)?", str(name))]
    found = {str(name): table[name].str.strip().replace("", "other") for name in names}
    return {
        name: dict(zip(table["id"], column, strict=True))
        for name, column in found.items()
        if column.duplicated().any()
    }


def plain(text: str) -> str:
    """A prompt as text models read it: case and spacing do not count."""
    return " ".join(text.casefold().split())


def read_texts(path: Path | str) -> pd.DataFrame:
    """Prompts for scoring alone: a table or JSON with columns id and prompt, or a prompt a line.

    What the file is, its content tells; a suffix only says what it must not be taken for. Without a column id
    a prompt's id is its number, p01, p02, ...; columns that scoring does not need are filled in. Raises as
    read_prompts does, and where a table would be taken for lines.
    """
    return check(fill_in(read_rows(shipped(path))[0]), path)


def read_rows(path: Path) -> tuple[list[dict[str, str]], str]:
    """The rows of a file, and what it is: JSON, table or lines."""
    text = decode(path.read_bytes(), path)
    kind = path.suffix.lower()
    if kind in (".json", ".jsonl", ".ndjson") or text.lstrip().startswith(("[", "{")):
        return rows_of(parse_json(text, path), path), "JSON"
    if separator := header_separator(text):
        return read_table(text, separator, path), "table"
    if kind in (".csv", ".tsv", ".tab") or looks_tabular(text):
        first = next(iter(filled(text)), "")
        raise ValueError(
            f"{path} looks like a table whose first line, {first[:60]!r}, names no column prompt; {EXPECTED}"
        )
    return [{"prompt": line} for line in filled(text)], "lines"


def decode(data: bytes, path: Path) -> str:
    """UTF-8, with or without a mark, or UTF-16 with one; ValueError for anything else."""
    try:
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text (byte {error.start}); {EXPECTED}") from error
    if "\0" in text:  # UTF-16 without its mark, or no text at all
        raise ValueError(f"{path} is not UTF-8 text (it holds zero bytes); {EXPECTED}")
    return text


def header_separator(text: str) -> str:
    """What separates the fields of a first line that names a column prompt; empty if it is no header."""
    first = next(iter(filled(text)), "")
    if first.strip('"').casefold() == "prompt":
        return ALONE
    for separator in SEPARATORS:
        fields = next(csv.reader([first], delimiter=separator), [])
        if len(fields) > 1 and "prompt" in [field.strip().casefold() for field in fields]:
            return separator
    return ""


def filled(text: str) -> list[str]:
    """The lines that are not empty, stripped."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def looks_tabular(text: str) -> bool:
    """Whether lines are rows of a table or of a numbered list rather than prompts, all of them."""
    lines = filled(text)
    return bool(lines) and all("\t" in x or re.match(NUMBERED, x) or re.match(FIELD, x) for x in lines)


def read_table(text: str, separator: str, path: Path) -> list[dict[str, str]]:
    """The rows of a separated table by its header; ValueError for a row of another number of fields.

    Between tabs a quote is a letter, unless the header's names stand in quotes or the file is a .csv; and
    a row may lack its last fields or end with tabs.
    """
    tabs = separator == "\t"
    verbatim = tabs and path.suffix.lower() != ".csv" and not filled(text)[0].startswith('"')
    quoting: Any = csv.QUOTE_NONE if verbatim else csv.QUOTE_MINIMAL
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True, quoting=quoting)
    try:
        rows = [(lines.line_num, row) for row in lines if any(field.strip() for field in row)]
    except csv.Error as error:
        raise ValueError(f"{path}: line {lines.line_num} cannot be read: {error}") from error
    header = [field.strip().casefold() for field in rows[0][1]]
    if len(set(filter(None, header))) < len(list(filter(None, header))):
        raise ValueError(f"{path}: a column stands there twice: {', '.join(header)}")
    for number, row in rows[1:]:
        if tabs:
            row += [""] * (len(header) - len(row))
            row[len(header) :] = filter(None, row[len(header) :])
        if len(row) != len(header):
            raise ValueError(
                f"{path}: line {number} has {len(row)} fields, the header {len(header)}; a prompt that holds "
                "the separator stands in quotes"
            )
    found = [dict(zip(header, (field.strip() for field in row), strict=True)) for _, row in rows[1:]]
    return [{name: value for name, value in row.items() if name} for row in found]


def parse_json(text: str, path: Path) -> Any:
    """One JSON value, or one a line as a list."""
    try:
        return json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError) as whole:
        try:
            return [json.loads(line, object_pairs_hook=unique) for line in filled(text)]
        except (ValueError, RecursionError):
            raise ValueError(f"{path} is no JSON: {whole}; {EXPECTED}") from whole


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, which may name a key once."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"an object names a key twice: {', '.join(key for key, _ in pairs)[:80]}")
    return found


def rows_of(found: Any, path: Path) -> list[dict[str, str]]:
    """Rows of a list of objects or of prompts, of an object id: prompt, or of one that holds such a list."""
    if isinstance(found, dict) and isinstance(found.get("prompts"), list | dict):
        found = found["prompts"]
    if isinstance(found, dict) and isinstance(found.get("prompt"), str):
        found = [found]
    if isinstance(found, dict):
        found = [{"id": k, **(v if isinstance(v, dict) else {"prompt": v})} for k, v in found.items()]
    if not isinstance(found, list):
        raise ValueError(f"{path} holds {type(found).__name__}; {EXPECTED}")
    rows = [row if isinstance(row, dict) else {"prompt": row} for row in found]
    for row in rows:
        if not isinstance(row.get("prompt"), str):
            raise ValueError(f"{path}: an entry without a prompt of text: {json.dumps(row)[:80]}; {EXPECTED}")
    known = [{k: v for k, v in row.items() if v is not None} for row in rows]
    return [{str(k).strip().casefold(): str(v).strip() for k, v in row.items()} for row in known]


def fill_in(rows: list[dict[str, str]]) -> pd.DataFrame:
    """The table, with ids where the file has none and the columns that scoring does not need."""
    table = pd.DataFrame(rows, dtype=str) if rows else pd.DataFrame({"prompt": []}, dtype=str)
    width = max(2, len(str(len(table))))
    defaults = {
        "id": [f"p{i:0{width}d}" for i in range(1, len(table) + 1)],
        "init_prompt": "", "camera": "object", "symmetric": "no",
    }  # fmt: skip
    table = table.assign(**{name: value for name, value in defaults.items() if name not in table}).fillna("")
    return table.assign(symmetric=[SYMMETRIC.get(word.casefold(), word) for word in table["symmetric"]])
