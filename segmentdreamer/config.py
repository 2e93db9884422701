"""Configuration: a YAML file of what differs from the official defaults becomes dataclasses, checked here."""

import dataclasses
import math
import reprlib
import types
import typing
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from annotated_types import Interval, Predicate

from segmentdreamer.interfaces import Count, Positive, Share, Whole
from segmentdreamer.prior.options import PriorConfig
from segmentdreamer.prior.view_prompts import PromptConfig
from segmentdreamer.recipe.settings import ConfigError, nearest, read_settings
from segmentdreamer.records import shipped
from segmentdreamer.scene.brightness import BrightnessConfig
from segmentdreamer.scene.cameras import PRESETS, CameraConfig
from segmentdreamer.scene.optimizer import OptimizerConfig
from segmentdreamer.scene.render import RegularizerConfig, RenderConfig
from segmentdreamer.start.shapes import StartConfig

STEPS = {  # what `train.stretch` multiplies, by section
    "train": ["steps", "warmup"],
    "cameras": ["relax_every"],
    "optimizer": ["clip_steps", "refine_start", "refine_stop", "refine_every", "reset_every"],
    "brightness": ["first", "last"],
}
RATES = ["means", "sh0", "scales", "quats", "opacities"]  # what `optimizer.rate` multiplies
BOOLEANS = {"true": True, "yes": True, "on": True, "y": True, "t": True, "1": True,
            "false": False, "no": False, "off": False, "n": False, "f": False, "0": False}  # fmt: skip


@dataclass(frozen=True)
class TrainConfig:
    """The optimization loop (official arguments/__init__.py)."""

    stretch: Positive = 1.0  # every count of steps of the schedule times this (STEPS), once
    steps: Count = 5000
    warmup: Whole = 1500  # steps over which the time range settles
    as_latent: Share = 0.2  # share of steps that encode the disparity image instead of the colors
    flip: Share = 0.5  # share of steps whose whole batch is mirrored before encoding
    disparity: bool = True  # render depth, for TV and as_latent
    checkpoint_every: Count = 500
    patience: Count = 100  # steps without a finite gradient, after which an asset counts as failed
    max_skipped: Share = 0.5  # share of such steps above which a finished asset counts as failed


@dataclass(frozen=True)
class GenerationConfig:
    """All that one asset depends on besides prompt, method and seed."""

    scale: str
    prior: PriorConfig
    prompts: PromptConfig = field(default_factory=PromptConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    start: StartConfig = field(default_factory=StartConfig)
    cameras: CameraConfig = field(default_factory=CameraConfig)
    render: RenderConfig = field(default_factory=RenderConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    regularizers: RegularizerConfig = field(default_factory=RegularizerConfig)
    brightness: BrightnessConfig = field(default_factory=BrightnessConfig)
    methods: dict[str, dict[str, Any]] = field(default_factory=dict)  # hyper-parameters by method


def load_config(
    source: str | Path, overrides: list[str] | None = None, camera_preset: str | None = None
) -> GenerationConfig:
    """Read a scale's name (`mini`) or a YAML file, apply `section.key=value` overrides, and check.

    `camera_preset`, the prompt's kind, matters where the file says `cameras: {preset: prompt}`. ConfigError
    says in one line what is wrong and where.
    """
    data = read_settings(source, overrides or [])
    if isinstance(cameras := data.get("cameras", {}), dict):
        data["cameras"] = apply_preset(cameras, camera_preset)
    if isinstance(prior := data.get("prior"), dict) and isinstance(named := prior.get("path"), str) and named:
        prior["path"] = str(shipped(named))
    return stretch(build(GenerationConfig, data, ""))


def stretch(config: GenerationConfig) -> GenerationConfig:
    """The configuration with `train.stretch` and `optimizer.rate` worked into its schedule."""
    factor, rate = config.train.stretch, config.optimizer.rate
    for section, names in STEPS.items():
        own = getattr(config, section)
        counts = {name: getattr(own, name) for name in names}
        new = {name: max(round(count * factor), 1) if count else 0 for name, count in counts.items()}
        config = dataclasses.replace(config, **{section: dataclasses.replace(own, **new)})
    rates: dict[str, Any] = {
        name: tuple(rate * value for value in getattr(config.optimizer, name)) for name in RATES
    }
    return dataclasses.replace(
        config,
        train=dataclasses.replace(config.train, stretch=1.0),
        optimizer=dataclasses.replace(config.optimizer, rate=1.0, **rates),
    )


def apply_preset(cameras: dict[str, Any], of_prompt: str | None) -> dict[str, Any]:
    """A `cameras` section with its preset's values filled in under its own; ConfigError for an unknown kind.

    `preset: prompt` becomes `of_prompt`, the prompt table's `camera` (None: object).
    """
    if of_prompt is not None and of_prompt not in PRESETS:
        raise ConfigError(f"no camera preset {of_prompt!r}; known: {', '.join(PRESETS)}")
    if cameras.get("preset") == "prompt":
        cameras = {**cameras, "preset": of_prompt or "object"}
    return {**PRESETS.get(str(cameras.get("preset")), {}), **cameras}


def build(cls: Any, data: Any, where: str) -> Any:
    """An instance of dataclass `cls` from plain data, every key and type checked."""
    if not isinstance(data, dict):
        raise ConfigError(f"{where or 'configuration'}: expected a mapping, got {reprlib.repr(data)}")
    hints = typing.get_type_hints(cls, include_extras=True)
    fields = {f.name.rstrip("_"): f for f in dataclasses.fields(cls)}  # a key may be a word of Python's
    for key in data:
        if key not in fields:
            raise ConfigError(f"unknown key {_join(where, str(key))!r}{nearest(str(key), fields)}")
    for name, f in fields.items():
        required = f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        if required and name not in data:
            raise ConfigError(f"missing key {_join(where, name)!r}")
    names = {key: fields[key].name for key in data}
    values = {names[k]: _convert(hints[names[k]], v, _join(where, k)) for k, v in data.items()}
    try:
        return cls(**values)
    except ValueError as error:  # of fields that do not fit together
        raise ConfigError(f"{where}: {error}") from error


def _convert(hint: Any, value: Any, where: str, limits: Iterable[Any] = ()) -> Any:
    if dataclasses.is_dataclass(hint):
        return build(hint, value, where)
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return _convert(args[0], value, where, args[1:])
    if origin is tuple:
        if not isinstance(value, (list, tuple)) or len(value) != len(args):
            raise ConfigError(f"{where}: expected {len(args)} values, got {reprlib.repr(value)}")
        found = tuple(_convert(a, v, where) for a, v in zip(args, value, strict=True))
        if not all(limit.func(found) for limit in limits if isinstance(limit, Predicate)):
            raise ConfigError(f"{where}: expected the lower value first, got {list(found)}")
        return found
    if origin is typing.Literal:
        if value not in args or isinstance(value, bool):
            raise ConfigError(
                f"{where}: expected one of {', '.join(map(str, args))}, got {reprlib.repr(value)}"
            )
        return value
    if origin is dict:
        if not isinstance(value, dict):
            raise ConfigError(f"{where}: expected a mapping, got {reprlib.repr(value)}")
        return {key: _convert(args[1], v, _join(where, str(key))) for key, v in value.items()}
    if origin in (typing.Union, types.UnionType):
        return None if value is None else _convert(args[0], value, where)
    return value if hint is Any else _plain(hint, value, where, list(limits))


def _plain(hint: Any, value: Any, where: str, limits: list[Interval]) -> Any:
    """A boolean, number or text, in every usual spelling, within its limits."""
    found = value
    if hint is bool and isinstance(value, str | int):
        found = BOOLEANS.get(str(value).lower(), value)
    elif hint is float and isinstance(value, int) and not isinstance(value, bool):
        found = float(value)
    elif hint is int and isinstance(value, float) and value.is_integer():
        found = int(value)
    if not isinstance(found, hint) or (hint is int and isinstance(found, bool)):
        raise ConfigError(f"{where}: expected {hint.__name__}, got {reprlib.repr(value)}")
    endless = any(limit.le == math.inf for limit in limits)
    if hint is float and (math.isnan(found) or (math.isinf(found) and not endless)):
        raise ConfigError(f"{where}: expected a finite number, got {value!r}")
    for limit in limits:
        for bound, sign, kept in (
            (limit.ge, ">=", lambda a, b: a >= b),
            (limit.gt, ">", lambda a, b: a > b),
            (limit.le, "<=", lambda a, b: a <= b),
            (limit.lt, "<", lambda a, b: a < b),
        ):
            if bound is not None and not kept(found, bound):
                raise ConfigError(f"{where}: expected {hint.__name__} {sign} {bound}, got {value!r}")
    return found


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key
