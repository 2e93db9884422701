"""Methods by name: `baselines/methods.yaml` maps each name to a class and to what is known about it."""

import dataclasses
import importlib
from importlib.util import find_spec
from typing import Any

from segmentdreamer.config import ConfigError, GenerationConfig, build, load_config, nearest
from segmentdreamer.interfaces import Method
from segmentdreamer.recipe.settings import read_yaml
from segmentdreamer.records import PACKAGE, ROOT

REGISTRY = ROOT / "baselines" / "methods.yaml"


def registry() -> dict[str, dict[str, Any]]:
    """All registered methods: name -> {class, title, ...}; ConfigError for a file of another form."""
    found = read_yaml(REGISTRY)
    for name, entry in found.items():
        if not isinstance(entry, dict) or not isinstance(entry.get("settings", []), list):
            raise ConfigError(f"{REGISTRY}: {name} is no entry (class, title, settings: a list, ...)")
    return found


def trunk_settings(name: str) -> list[str]:
    """The `section.key=value` settings of the trunk that belong to a method."""
    return registry().get(name, {}).get("settings", [])


def check_settings(
    scale: str, overrides: list[str], name: str | None = None, camera_preset: str | None = None
) -> GenerationConfig:
    """The configuration of a scale under a method's settings, then overrides; all methods' sections checked.

    ConfigError, in one line, for what is unknown, or no value of its kind.
    """
    config = load_config(scale, [*(trunk_settings(name) if name else []), *overrides], camera_preset)
    for method, chosen in {**({name: {}} if name else {}), **config.methods}.items():
        load_method(method, chosen)
    return config


def load_method(name: str, hyper_parameters: dict[str, Any]) -> Method:
    """The method of this name, its fields checked; ConfigError if the name or a field is unknown."""
    known = registry()
    if name not in known:
        raise ConfigError(f"unknown method {name!r}{nearest(name, known)}")
    if "class" not in known[name]:
        raise ConfigError(f"method {name!r} is a foreign one: baselines/methods.yaml names no class of it")
    return build(load_class(known[name]["class"]), hyper_parameters, f"methods.{name}")


def load_class(name: Any) -> Any:
    """The class of `module:class`; installed, `baselines.sds:SDS` lies in segmentdreamer.baselines.sds.

    ConfigError, in one line, if there is none, or no dataclass.
    """
    try:
        found = import_class(str(name))
    except (ImportError, AttributeError, SyntaxError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{REGISTRY.name}: class {name} cannot be loaded: {reason}") from error
    if not dataclasses.is_dataclass(found):
        raise ConfigError(f"{REGISTRY.name}: class {name} is no dataclass, whose fields are its settings")
    return found


def import_class(name: str) -> Any:
    module, _, attribute = name.partition(":")
    beside = ROOT / module.partition(".")[0]
    inside = beside.is_dir() and (ROOT == PACKAGE or find_spec(beside.name) is None)
    return getattr(importlib.import_module(f"segmentdreamer.{module}" if inside else module), attribute)


def hyper_parameters(method: Method) -> dict[str, Any]:
    return dataclasses.asdict(method)  # type: ignore[call-overload]
