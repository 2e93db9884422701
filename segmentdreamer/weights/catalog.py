"""The list of weights that this repository does not carry, workflow/config/weights.yaml."""

from dataclasses import dataclass, field
from pathlib import Path

from segmentdreamer.config import ConfigError, build
from segmentdreamer.recipe.settings import read_yaml
from segmentdreamer.records import ROOT

LIST = ROOT / "workflow" / "config" / "weights.yaml"


@dataclass(frozen=True)
class Source:
    """A Hugging Face repository at one commit, or a folder of an https server, which has none."""

    official: bool  # by the model's authors
    revision: str = ""


@dataclass(frozen=True)
class File:
    """One file of an entry."""

    bytes: int  # for plans; the digest decides
    sha256: str | None = None  # null: not known, and the file never downloaded
    text: str = ""  # the whole file, where it is ours to write
    at: str = ""  # path at the sources, where it differs
    becomes: str = ""  # the safetensors file that it is converted to


@dataclass(frozen=True)
class Weights:
    """One entry of the list."""

    title: str
    license: str
    waits_for: str  # installed last: who finds it finds all
    sources: dict[str, Source]
    files: dict[str, File] = field(default_factory=dict)

    def installed(self, name: str) -> str:
        """What the file is called where programs look for it."""
        return self.files[name].becomes or name

    @property
    def bytes(self) -> int:
        """Size of all files."""
        return sum(file.bytes for file in self.files.values())


def read_list(path: Path = LIST) -> dict[str, Weights]:
    """All entries; ConfigError where one is ill-formed."""
    entries = {name: build(Weights, entry, name) for name, entry in read_yaml(path).items()}
    for name, weights in entries.items():
        if weights.waits_for not in map(weights.installed, weights.files):
            raise ConfigError(f"{name}: waits_for {weights.waits_for!r} is none of its files")
        for where, source in weights.sources.items():
            if where.startswith("http://"):
                raise ConfigError(f"{name}: {where}: plain http is refused")
            if is_url(where) == bool(source.revision):
                raise ConfigError(f"{name}: {where}: a repository needs a revision, an address has none")
    return entries


def read_weights(name: str, path: Path = LIST) -> Weights:
    """The entry `name`; ConfigError where there is none or the list is ill-formed."""
    if name not in (entries := read_list(path)):
        raise ConfigError(f"no weights {name!r} in {path}; known: {', '.join(entries)}")
    return entries[name]


def is_url(source: str) -> bool:
    return source.startswith("https://")


def file_url(where: str, source: Source, path: str) -> str:
    """The address of a file of a source; HF_ENDPOINT names a mirror of the hub."""
    if not source.revision:
        return f"{where}/{path}"
    from huggingface_hub import hf_hub_url

    return hf_hub_url(where, path, revision=source.revision)


def describe_source(where: str, source: Source) -> str:
    commit = f" at {source.revision[:8]}" if source.revision else ""
    return f"{where}{commit}{'' if source.official else ' (not the authors’)'}"


def describe_sources(weights: Weights) -> str:
    return " or ".join(describe_source(where, source) for where, source in weights.sources.items())


def describe_files(weights: Weights, names: list[str]) -> list[str]:
    """A line for each file: name, size, path at the source where it differs, digest."""
    return [
        f"{name}  {format_bytes(file.bytes)}{f'  at {file.at}' if file.at else ''}"
        f"  sha256 {file.sha256 or 'not known'}"
        for name, file in ((name, weights.files[name]) for name in names)
    ]


def format_bytes(count: float) -> str:
    """In decimal units, as `1.79 GB`."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count:.0f} B"
