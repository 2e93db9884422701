"""The house: which room may use which, no circles, nothing too long; read from the sources themselves."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CODE = ("segmentdreamer", "baselines", "eval", "toybox", "workflow/scripts")

# From the ground up. A module belongs to its longest prefix here, and may use its own room and rooms below;
# rooms of one line know nothing of each other.
FLOORS: list[tuple[str, ...]] = [
    ("segmentdreamer.command", "segmentdreamer.interfaces", "segmentdreamer.randomness",
     "segmentdreamer.records", "segmentdreamer.segments", "segmentdreamer.torchvision_guard",
     "segmentdreamer.timing.stopwatch", "segmentdreamer.timing.cost"),
    ("segmentdreamer.recipe",),
    ("segmentdreamer.diffusion", "segmentdreamer.rasterizer"),
    ("segmentdreamer.prior", "segmentdreamer.scene", "segmentdreamer.sctd", "baselines"),
    ("segmentdreamer.start",),
    ("segmentdreamer.config",),
    ("segmentdreamer.methods", "segmentdreamer.weights"),
    ("segmentdreamer.optimize",),
    ("segmentdreamer.checkpoint", "segmentdreamer.timing"),
    ("segmentdreamer.recipe.job",),
    ("segmentdreamer.generate", "segmentdreamer.benchmark"),
    ("segmentdreamer",),
    # Of evaluation. Three modules lie lower than the rooms that they stand in: number formats, the style of
    # plots, where a reference comes from.
    ("eval.metrics", "eval.scales", "eval.prompt_table", "eval.variants", "eval.tables.formats"),
    ("eval.protocol",),
    ("eval.identity",),
    ("eval.views", "eval.statistics", "eval.guidance"),
    ("eval.distances", "eval.reference.origin", "eval.study"),
    ("eval.scores",),
    ("eval.reference",),
    ("eval.run",),
    ("eval.plots.fonts",),
    ("eval.ablation", "eval.plots.style"),
    ("eval.tables",),
    ("eval.plots", "eval.claims"),
    ("eval.theory", "eval.report"),
    ("eval.reproduce",),
    ("eval.others",),
    ("eval.score", "eval.benchmark", "eval"),
    ("toybox", "workflow"),
]  # fmt: skip

FOLDER, FILE, FUNCTION = 15, 300, 50  # at most so many modules and lines
UNFORMATTED = 130  # at most so many places that the formatter leaves alone, rows of figures above all


def modules() -> dict[str, Path]:
    """Every module of the project by its dotted name."""
    found = {}
    for folder in CODE:
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()
TESTS = sorted((ROOT / "tests").rglob("*.py"))


def imported(name: str) -> Iterator[str]:
    """The project's own modules that a module imports anywhere, inside functions and for types alone too."""
    path = MODULES[name]
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom):
            outer = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*outer, *([node.module] if node.module else [])])
            for alias in node.names:
                target = f"{base}.{alias.name}"
                target = target if target in MODULES else base
                # Beside each other in workflow/scripts, which is no package.
                target = target if target in MODULES else f"workflow.scripts.{base}"
                if target in MODULES and target != name:
                    yield target


GRAPH = {name: set(imported(name)) for name in MODULES}


def room(name: str) -> tuple[int, str]:
    """The floor and the prefix that a module belongs to; commands stand on top."""
    prefixes = [(floor, prefix) for floor, names in enumerate(FLOORS) for prefix in names]
    mine = [p for p in prefixes if f"{name}.".startswith(f"{p[1]}.")]
    floor, prefix = max(mine, key=lambda found: len(found[1]))
    if name.endswith((".__main__", ".commands", ".benchmark")):
        floor = next(f for f, names in enumerate(FLOORS) if name.split(".")[0] in names)
    return floor, prefix


def test_no_module_needs_itself_by_way_of_others() -> None:
    try:
        TopologicalSorter(GRAPH).prepare()
    except CycleError as circle:
        raise AssertionError(" -> ".join(circle.args[1])) from circle


def test_every_arrow_points_down() -> None:
    up = set()
    for name, others in GRAPH.items():
        for other in others:
            (here, mine), (there, theirs) = room(name), room(other)
            if there >= here and mine != theirs:
                up.add(f"{name} -> {other}")
    assert not up


@pytest.mark.parametrize(
    ("user", "never"),
    [
        ("segmentdreamer", ("eval", "baselines", "toybox", "workflow")),
        ("baselines", ("eval", "toybox", "workflow")),
        ("eval", ("baselines", "toybox", "workflow")),
        ("segmentdreamer.interfaces", ("segmentdreamer",)),
    ],
)
def test_a_package_never_uses_those_that_build_on_it(user: str, never: tuple[str, ...]) -> None:
    wrong = {
        f"{name} -> {other}"
        for name, others in GRAPH.items()
        for other in others
        if f"{name}.".startswith(f"{user}.") and other.split(".")[0] in never
    }
    assert not wrong


def test_no_folder_is_crowded_and_no_file_too_long() -> None:
    """Rules and tests too; a package's __init__ aside."""
    rules = (ROOT / "workflow/rules").rglob("*.smk")
    counts = Counter(path.parent for path in [*MODULES.values(), *TESTS, *rules] if path.stem != "__init__")
    assert not {str(folder.relative_to(ROOT)) for folder, count in counts.items() if count > FOLDER}
    assert not {p.name for p in MODULES.values() if len(p.read_text().splitlines()) > FILE}


def test_no_test_file_is_too_long_and_no_two_have_one_name() -> None:
    """pytest imports a test file by its name alone."""
    assert not {p.name for p in TESTS if len(p.read_text().splitlines()) > FILE}
    names = [p.name for p in TESTS if p.name not in ("__init__.py", "conftest.py")]
    assert len(names) == len(set(names))


def test_few_places_escape_the_formatter() -> None:
    sources = [path.read_text() for path in {*MODULES.values(), *TESTS}]
    assert sum(len(re.findall(r"# fmt: (?:skip|off)$", source, re.M)) for source in sources) <= UNFORMATTED


def test_no_function_is_too_long() -> None:
    """Its description aside."""
    found = set()
    for path in MODULES.values():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                described = len((ast.get_docstring(node) or "").splitlines())
                if (node.end_lineno or 0) - node.lineno + 1 - described > FUNCTION:
                    found.add(f"{path.relative_to(ROOT)}:{node.name}")
    assert not found
