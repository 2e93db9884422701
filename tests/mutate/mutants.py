"""One-line changes of a source file, as a slip would make them, each with its place and its text."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

SWAPPED: dict[type, str] = {
    ast.Add: "-", ast.Sub: "+", ast.Mult: "/", ast.Div: "*", ast.Pow: "*", ast.FloorDiv: "*",
    ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">", ast.Eq: "!=", ast.NotEq: "==",
    ast.In: "not in", ast.NotIn: "in", ast.Is: "is not", ast.IsNot: "is", ast.And: "or", ast.Or: "and",
}  # fmt: skip
OPTION = re.compile(r" ?--[\w-]+ \{[\w.]+(?::q)?\}")  # `--seed {params.seed}` in a rule's shell
NAMED_INPUT = re.compile(r"^ +code=.*,$", re.M)


@dataclass(frozen=True)
class Mutant:
    """A file with one place changed."""

    path: str
    line: int
    change: str  # "old -> new"
    source: str  # of the whole file
    code: str  # the line as it stood, without its comment

    def __str__(self) -> str:
        return f"{self.path}:{self.line}  {self.change}"


def mutants(path: str, source: str) -> list[Mutant]:
    """All mutants of a Python or Snakemake file, in the order of their places."""
    try:
        places = [*python_places(source)]
    except SyntaxError:  # a file with rules
        places = [*rule_places(source)]
    lines, found = [line.split("  # ")[0].strip() for line in source.splitlines()], []
    for start, end, new in sorted(set(places)):
        above, change = source[:start].count("\n"), f"{source[start:end].strip()!r} -> {new!r}"
        found.append(Mutant(path, above + 1, change, source[:start] + new + source[end:], lines[above]))
    return [m for m in found if m.source != source]


def rule_places(source: str) -> Iterator[tuple[int, int, str]]:
    """In rules: an option of a shell line left out, an input of code left out."""
    for pattern in (OPTION, NAMED_INPUT):
        for match in pattern.finditer(source):
            yield match.start(), match.end(), ""


def python_places(source: str) -> Iterator[tuple[int, int, str]]:
    """In Python: operators, comparisons, numbers and switches changed; arguments and bare calls left out."""
    starts = [0]
    for line in source.encode().splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    raw = source.encode()

    def at(line: int, column: int) -> int:
        return len(raw[: starts[line - 1] + column].decode())

    def span(node: ast.AST) -> tuple[int, int]:
        return at(node.lineno, node.col_offset), at(node.end_lineno, node.end_col_offset)

    tree = ast.parse(source)
    skipped = {id(inner) for node in ast.walk(tree) for inner in unread(node)}
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        for left, op, right in operations(node):
            start, end = span(left)[1], span(right)[0]
            yield from operator_place(source, start, end, op)
        if isinstance(node, ast.Constant) and type(node.value) in (int, float, bool):
            yield *span(node), changed(node.value)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.Not)):
            yield *span(node), source[slice(*span(node.operand))]
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            yield *span(node), "pass"
        if isinstance(node, ast.Call):
            for keyword in node.keywords:
                start, end = span(keyword)
                if keyword.arg and id(keyword) not in skipped and source[start - 2 : start] == ", ":
                    yield start - 2, end, ""


def unread(node: ast.AST) -> Iterator[ast.AST]:
    """What says nothing of a number: annotations, decorators of classes, that a zip's lists are as long."""
    parts = [getattr(node, "annotation", None), getattr(node, "returns", None)]
    parts += node.decorator_list if isinstance(node, ast.ClassDef) else []
    parts += [node] if isinstance(node, ast.keyword) and node.arg == "strict" else []
    for part in parts:
        if part is not None:
            yield from ast.walk(part)


def operations(node: ast.AST) -> list[tuple[ast.AST, ast.AST, ast.AST]]:
    """(left, operator, right) of a node's operators."""
    if isinstance(node, ast.BinOp):
        return [(node.left, node.op, node.right)]
    if isinstance(node, ast.BoolOp):
        return [(a, node.op, b) for a, b in zip(node.values, node.values[1:], strict=False)]
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        return list(zip(sides, node.ops, sides[1:], strict=False))
    return []


def operator_place(source: str, start: int, end: int, op: ast.AST) -> Iterator[tuple[int, int, str]]:
    """Where an operator stands between its operands, and what replaces it."""
    match = re.search(r"\*\*|//|<=|>=|==|!=|[-+*/<>]|\b(?:not in|is not|in|is|and|or)\b", source[start:end])
    if match and type(op) in SWAPPED:
        yield start + match.start(), start + match.end(), SWAPPED[type(op)]


def changed(value: float | bool) -> str:
    """Another value of the same type."""
    if isinstance(value, bool):
        return str(not value)
    return str(value + 1) if isinstance(value, int) else repr(2 * value if value else 1.0)
