"""Write the parts of the pages that say what code and results say: `python -m docs.generated`.

docs/configuration.md from the workflow's schema, the dataclasses of settings and the comments beside their
fields; the table in README.md from the published run.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from eval.scales import read_scale
from segmentdreamer.config import GenerationConfig
from segmentdreamer.methods import load_method, registry
from segmentdreamer.recipe.settings import SCALES

ROOT = Path(__file__).parent.parent
HEAD = """# Configuration

Written by `python -m docs.generated` from the schema, the settings' dataclasses and the comments beside them.

## The workflow
What `--configfile FILE` and `--config KEY=VALUE` set, checked by
[`config.schema.yaml`](../workflow/schemas/config.schema.yaml). `mini`:
[`default.yaml`](../workflow/config/default.yaml); `paper`: [`paper.yaml`](../workflow/config/paper.yaml),
laid over it.

"""
GENERATION = """
## An asset
What `--set SECTION.KEY=VALUE` sets for one asset and `overrides` for all of a run. A scale states what
differs from the official defaults: [`mini.yaml`](../segmentdreamer/scales/mini.yaml),
[`paper.yaml`](../segmentdreamer/scales/paper.yaml), or a file of your own.
"""
METHODS = """
## Methods
`--set methods.NAME.KEY=VALUE`, or `methods` in a scale. Sources of the defaults stand in
[`baselines/`](../baselines/README.md) and `segmentdreamer/sctd.py`.
"""
Row = tuple[str, ...]


def texts() -> dict[Path, str]:
    """Every generated page and what it should hold."""
    readme = ROOT / "README.md"
    return {ROOT / "docs" / "configuration.md": configuration(), readme: with_table(readme.read_text())}


def with_table(page: str) -> str:
    """The page with the methods' rows of the published Table 1, without intervals, between its marks."""
    published = (ROOT / "results/published/toybox40/table1.md").read_text().splitlines()
    rows = [line for line in published if line.startswith("| ")]
    methods = rows[: next(i for i, row in enumerate(rows) if "*Controls*" in row)]
    table = re.sub(r" \[[^\]]*\]", "", "\n".join(methods))
    return re.sub(
        r"(<!-- table1 -->\n).*?(<!-- end -->)", lambda at: f"{at[1]}{table}\n{at[2]}", page, flags=re.S
    )


def configuration() -> str:
    schema = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())
    rows = workflow_rows(schema["properties"], read_scale("mini"), read_scale("paper"))
    parts = [HEAD, table(("key", "mini", "paper", "meaning"), rows), GENERATION]
    scales = [yaml.safe_load((SCALES / f"{name}.yaml").read_text()) for name in ("mini", "paper")]
    for section, cls in typing.get_type_hints(GenerationConfig).items():
        if isinstance(cls, type) and dataclasses.is_dataclass(cls):
            parts.append(section_page(section, cls, scales))
    methods = [scale.get("methods", {}) for scale in scales]
    made = [name for name, entry in registry().items() if "class" in entry]
    parts += [METHODS, *(section_page(name, type(load_method(name, {})), methods) for name in made)]
    return "".join(parts)


def workflow_rows(
    properties: Mapping[str, Any], mini: Mapping[str, Any], paper: Mapping[str, Any], above: str = ""
) -> Iterator[Row]:
    for key, spec in properties.items():
        if "properties" in spec:
            yield from workflow_rows(spec["properties"], mini[key], paper[key], f"{above}{key}.")
        else:
            values = [shown(own.get(key, spec.get("default"))) for own in (mini, paper)]
            choices = f"{' | '.join(spec['enum'])}: " if "enum" in spec else ""
            yield f"`{above}{key}`", *values, choices + spec.get("description", "")


def section_page(name: str, cls: Any, scales: list[dict[str, Any]]) -> str:
    notes, rows = field_notes(cls), []
    for f in dataclasses.fields(cls):
        key, own = f.name.rstrip("_"), [scale.get(name, {}) for scale in scales]
        values = [shown(settings[key]) if key in settings else "" for settings in own]
        rows.append((f"`{key}`", default(f), *values, notes.get(f.name, "")))
    about = inspect.getdoc(cls).split("\n\n")[0].replace("\n", " ")  # type: ignore[union-attr]
    return f"\n### {name}\n{about}\n\n" + table(("key", "official", "mini", "paper", "meaning"), rows)


def field_notes(cls: type) -> dict[str, str]:
    """What the comments above and beside the fields of a dataclass and its bases say."""
    notes: dict[str, str] = {}
    for base in filter(dataclasses.is_dataclass, reversed(cls.__mro__)):
        above: list[str] = []
        for line in inspect.getsource(base).splitlines():
            code, _, beside = line.partition("# ")
            if not code.strip() and beside:
                above.append(beside)
                continue
            if field := re.match(r"    (\w+): ", code):
                notes[field[1]] = " ".join([*above, beside]).strip()
            above = []
    return notes


def default(f: dataclasses.Field) -> str:
    if f.default_factory is not dataclasses.MISSING:
        return shown(f.default_factory())
    return "required" if f.default is dataclasses.MISSING else shown(f.default)


def shown(value: Any) -> str:
    """A setting's value as YAML has it, on one line."""
    if value in ("", None):
        return "null" if value is None else "empty"
    plain = list(value) if isinstance(value, tuple) else value
    text = yaml.safe_dump(plain, default_flow_style=True, width=10_000, sort_keys=False)
    return "`" + text.removesuffix("...\n").strip() + "`"


def table(head: Row, rows: typing.Iterable[Row]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |\n" for row in lines)


if __name__ == "__main__":
    for path, text in texts().items():
        path.write_text(text)
