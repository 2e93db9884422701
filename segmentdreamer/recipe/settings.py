"""Settings as plain data: a YAML file of what differs from the official defaults, and overrides of it."""

import difflib
import re
import reprlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

SCALES = Path(__file__).parents[1] / "scales"


class ConfigError(ValueError):
    """A configuration that does not fit its schema; the message names the key."""


def read_settings(source: str | Path, overrides: Iterable[str] = ()) -> dict[str, Any]:
    """What a scale (`mini`) or a YAML file says, under `section.key=value` overrides, as plain data."""
    path = SCALES / f"{source}.yaml"
    path = path if path.exists() else Path(source)
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in SCALES.glob("*.yaml")))
        raise ConfigError(f"no scale or configuration file {str(source)!r}; scales: {known}")
    data = read_yaml(path)
    for override in overrides:
        apply_override(data, override)
    return data


class Loader(yaml.CSafeLoader):
    """YAML whose keys stand once; numbers are those of version 1.2: 1e-4 is one, 010 is ten, 1:30 a text."""

    yaml_implicit_resolvers = {  # noqa: RUF012  # PyYAML's own
        first: [(tag, form) for tag, form in pairs if not tag.endswith((":int", ":float"))]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def flatten_mapping(self, node: Any) -> None:
        """Checked as it is written, on the first visit: what `<<` merges may be overridden."""
        if not hasattr(node, "checked"):
            node.checked = True
            keys = [(key.tag, key.value) for key, _ in node.value]
            if twice := [name for tag, name in keys if keys.count((tag, name)) > 1]:
                raise yaml.constructor.ConstructorError(problem=f"{twice[0]} stands there twice")
        super().flatten_mapping(node)


FLOAT = r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?|[-+]?\.(inf|nan)"
Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"[-+]?\d[\d_]*$"), [*"-+0123456789"])
Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(f"({FLOAT})$", re.I), [*"-+.0123456789"])
Loader.add_constructor("tag:yaml.org,2002:int", lambda _, node: int(node.value))


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a file; ConfigError, in one line that names the file."""
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: expected a mapping of sections, got {reprlib.repr(data)}")
    return data


def check_form(data: Any, schema: Path, source: str | Path) -> None:
    """ValueError, in one line that names the source and the place in it, unless data has a schema's form."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    if fault := best_match(Draft202012Validator(read_yaml(schema)).iter_errors(data)):
        place = ".".join(map(str, fault.absolute_path))
        raise ValueError(f"{source}: {f'{place}: ' if place else ''}{fault.message}")


def apply_override(data: dict[str, Any], override: str) -> None:
    """Set one `section.key=value` (value in YAML) in a nested dictionary."""
    keys, equals, value = override.partition("=")
    *sections, last = (key.strip() for key in keys.split("."))
    if not equals or not all((*sections, last)):
        raise ConfigError(f"override {override!r} is not of the form section.key=value")
    if [*sections, last] == ["scale"]:
        raise ConfigError(f"override {override!r}: a scale's name is not a setting; name the scale itself")
    for section in sections:
        data[section] = data.get(section) or {}
        data = data[section]
        if not isinstance(data, dict):
            raise ConfigError(f"override {override!r}: {section} is no section")
    try:
        data[last] = yaml.load(value, Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"override {override!r} is not YAML after its equals sign; quote it") from error


def nearest(word: str, known: Iterable[str]) -> str:
    """What may have been meant, as words for a message, and all that is known."""
    names = list(map(str, known))
    close = difflib.get_close_matches(word, names, 1)
    return (f" (is {close[0]!r} meant?)" if close else "") + f"; known: {', '.join(names)}"
