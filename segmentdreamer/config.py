"""Configuration: a YAML file of what differs from the official defaults becomes dataclasses, checked here."""

import dataclasses
import math
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from segmentdreamer.prior.options import PriorConfig
from segmentdreamer.prior.view_prompts import PromptConfig
from segmentdreamer.records import shipped
from segmentdreamer.scene.brightness import BrightnessConfig
from segmentdreamer.scene.cameras import PRESETS, CameraConfig
from segmentdreamer.scene.optimizer import OptimizerConfig
from segmentdreamer.scene.render import RegularizerConfig, RenderConfig
from segmentdreamer.start.shapes import StartConfig

SCALES = Path(__file__).parent / "scales"
STEPS = {  # what `train.stretch` multiplies, by section
    "train": ["steps", "warmup"],
    "cameras": ["relax_every"],
    "optimizer": ["clip_steps", "refine_start", "refine_stop", "refine_every", "reset_every"],
    "brightness": ["first", "last"],
}
RATES = ["means", "sh0", "scales", "quats", "opacities"]  # what `optimizer.rate` multiplies


class ConfigError(ValueError):
    """A configuration that does not fit its schema; the message names the key."""


@dataclass(frozen=True)
class TrainConfig:
    """The optimization loop (official arguments/__init__.py)."""

    stretch: float = 1.0  # every count of steps of the schedule times this (see STEPS), once, when it is read
    steps: int = 5000
    warmup: int = 1500  # steps over which the time range settles
    as_latent: float = 0.2  # share of steps that encode the disparity image instead of the colors
    flip: float = 0.5  # share of steps whose whole batch is mirrored before encoding
    disparity: bool = True  # render depth, for TV and as_latent
    checkpoint_every: int = 500
    patience: int = 100  # steps without a finite gradient, after which an asset counts as failed


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
    path = SCALES / f"{source}.yaml"
    path = path if path.exists() else Path(source)
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in SCALES.glob("*.yaml")))
        raise ConfigError(f"no scale or configuration file {str(source)!r}; scales: {known}")
    data = yaml.safe_load(path.read_text())
    for override in overrides or []:
        apply_override(data, override)
    if isinstance(cameras := data.get("cameras", {}), dict):
        data["cameras"] = apply_preset(cameras, camera_preset)
    if isinstance(prior := data.get("prior"), dict) and isinstance(named := prior.get("path"), str) and named:
        prior["path"] = str(shipped(named))
    return stretch(build(GenerationConfig, data, ""))


def stretch(config: GenerationConfig) -> GenerationConfig:
    """The configuration with `train.stretch` and `optimizer.rate` worked into its schedule."""
    factor, rate = config.train.stretch, config.optimizer.rate
    if not (0 < factor < math.inf and 0 < rate < math.inf):
        raise ConfigError(f"train.stretch {factor:g}, optimizer.rate {rate:g}: both must be positive numbers")
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


def apply_override(data: dict[str, Any], override: str) -> None:
    """Set one `section.key=value` (value in YAML) in a nested dictionary."""
    keys, equals, value = override.partition("=")
    if not equals:
        raise ConfigError(f"override {override!r} is not of the form section.key=value")
    *sections, last = keys.split(".")
    for section in sections:
        data = data.setdefault(section, {})
    try:
        data[last] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError(f"override {override!r} is not YAML after its equals sign; quote it") from error


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
        raise ConfigError(f"{where or 'configuration'}: expected a mapping, got {data!r}")
    hints = typing.get_type_hints(cls)
    fields = {f.name.rstrip("_"): f for f in dataclasses.fields(cls)}  # a key may be a word of Python's
    for key in data:
        if key not in fields:
            raise ConfigError(f"unknown key {_join(where, key)!r}; known: {', '.join(fields)}")
    for name, f in fields.items():
        required = f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        if required and name not in data:
            raise ConfigError(f"missing key {_join(where, name)!r}")
    names = {key: fields[key].name for key in data}
    return cls(**{names[k]: _convert(hints[names[k]], v, _join(where, k)) for k, v in data.items()})


def _convert(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return build(hint, value, where)
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        if not isinstance(value, (list, tuple)) or len(value) != len(args):
            raise ConfigError(f"{where}: expected {len(args)} values, got {value!r}")
        return tuple(_convert(a, v, where) for a, v in zip(args, value, strict=True))
    if origin is typing.Literal:
        if value not in args:
            raise ConfigError(f"{where}: expected one of {', '.join(map(str, args))}, got {value!r}")
        return value
    if origin is dict:
        if not isinstance(value, dict):
            raise ConfigError(f"{where}: expected a mapping, got {value!r}")
        return {key: _convert(args[1], v, _join(where, str(key))) for key, v in value.items()}
    if origin in (typing.Union, types.UnionType):
        return None if value is None else _convert(args[0], value, where)
    if hint is Any:
        return value
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise ConfigError(f"{where}: expected {hint.__name__}, got {value!r}")
    return value


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key
