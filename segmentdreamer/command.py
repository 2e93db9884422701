"""A function as a command: its arguments are the options, its errors one line on standard error.

`segmentdreamer NAME` and `python -m MODULE` run the same functions, and Python calls them as they are.
"""

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from typer.core import TyperArgument, TyperCommand


def option(panel: str, text: str, *names: str, **more: Any) -> Any:
    """An option under a heading of `--help`; a metavar that ends in ... takes several values in a row."""
    return typer.Option(*names, help=text, rich_help_panel=panel, **more)


inputs = partial(option, "Inputs")
outputs = partial(option, "Outputs")
settings = partial(option, "Settings")
hardware = partial(option, "Hardware")

Device = Annotated[str | None, hardware("cpu or cuda (default: cuda where there is one)")]
Threads = Annotated[int, hardware("CPU threads, at most as many as there are CPUs", min=1)]
Profile = Annotated[bool, hardware("print where the time went", "--profile")]
Results = Annotated[Path, inputs("folder of the run, e.g. results/mini")]
Titles = Annotated[Path | None, inputs("YAML: method -> {title}")]
Selection = Annotated[str, settings("folder of tables and plots (default: these themselves)", metavar="NAME")]
Identities = Annotated[
    list[str] | None, inputs("what the scores must be (eval.identity.of_cells)", metavar="DIGEST...")
]
Prompts = Annotated[Path, inputs("the prompt table: id and prompt, or a prompt a line")]
Scale = Annotated[str, inputs("mini, paper, or a YAML file of your own")]
Overrides = Annotated[
    list[str] | None, settings("override a value; may be given again", "--set", metavar="SECTION.KEY=VALUE")
]


class BadUsage(ValueError):
    """Arguments that do not fit together."""


class Program:
    """Functions as one program, or as one with a subcommand for each; called, it ends as programs do."""

    def __init__(self, *functions: Callable[..., Any], **by_name: Callable[..., Any]) -> None:
        app = typer.Typer(add_completion=False)
        for name, function in ({f.__name__: f for f in functions} | by_name).items():
            about = (function.__doc__ or "").partition("\n\n")[0]
            app.command(name, cls=Command, help=about)(function)
        self.command = typer.main.get_command(app)

    def __call__(self, argv: Sequence[str] | None = None) -> None:
        """Run with these words, or the command line's; SystemExit 1 is for bad input, 2 for bad usage."""
        run(self.command, argv)


def run(command: Any, argv: Sequence[str] | None = None) -> None:
    """Run a command; what is wrong is said in one line."""
    try:
        status = command.main(argv, standalone_mode=False)
    except (typer.TyperException, BadUsage) as error:
        said = str(error) if isinstance(error, BadUsage) else error.format_message()
        if said := in_one_line(said):  # nothing where a bare name has shown the help
            print(f"error: {said} (--help lists the options)", file=sys.stderr)
        sys.exit(2)
    except (ValueError, OSError, yaml.YAMLError) as error:
        sys.exit(f"error: {in_one_line(str(error))}")
    except (MemoryError, RuntimeError) as error:
        if not (reason := out_of_memory(error)):
            raise
        sys.exit(f"error: {reason}")
    if isinstance(status, int):  # of --help and the like; functions return none
        sys.exit(status)


def out_of_memory(error: BaseException) -> str:
    """What a lack of memory is, in a line; empty for any other error."""
    told = str(error)
    if type(error).__name__ == "OutOfMemoryError":  # torch's, of CUDA
        return (
            f"out of GPU memory ({told.split('. ')[1] if '. ' in told else told}): take a larger GPU or less"
        )
    if isinstance(error, MemoryError) or "DefaultCPUAllocator" in told or "std::bad_alloc" in told:
        return "out of memory: close other programs, or ask for less (render.size, cameras.batch, Gaussians)"
    return ""


def in_one_line(text: str) -> str:
    return " ".join(text.split())


class Command(TyperCommand):
    """A command that takes `--methods sds ism` as shells give globs, and `--prompt X` for an argument X."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, spread(args, self.params))


def spread(words: Sequence[str], params: Iterable[Any]) -> list[str]:
    """The words with an option's name before each of its values in a row, and arguments by name at the end.

    What follows an argument's name is its value, also where it begins with a dash.
    """
    several = {name for p in params if str(p.metavar).endswith("...") for name in p.opts}
    arguments = {f"--{p.name}" for p in params if isinstance(p, TyperArgument)}
    queue, option = deque(words), ""
    found: list[str] = []
    named: list[str] = []
    while queue:
        word = queue.popleft()
        if word == "--":  # what follows is another program's
            return [*found, word, *named, *queue]
        name, equals, value = word.partition("=")
        if name in arguments:
            option = ""
            named += [value] if equals else [queue.popleft()] if queue else []
        elif word in several:
            option = word
            found += [word] if not queue or queue[0].startswith("--") else []  # which is then missed
        elif word.startswith("--"):
            option = ""
            found.append(word)
        else:
            found += [option, word] if option else [word]
    return [*found, *(["--"] if named and "--" not in found else []), *named]


def several(values: Any) -> tuple[Any, ...]:
    """The values of an option that may be given again: of None none, of a text or path that one alone."""
    return () if values is None else (values,) if isinstance(values, str | Path) else tuple(values)


def check_threads(threads: int) -> None:
    """ValueError for more threads than this machine has CPUs; numba, not yet imported, takes as many."""
    if not 1 <= threads <= (os.cpu_count() or 1):
        raise ValueError(f"{threads} threads: this machine has {os.cpu_count()} CPUs")
    os.environ.setdefault("NUMBA_NUM_THREADS", str(threads))


def find_device(name: str | None) -> str:
    """The device of this name, by default cuda where there is one; ValueError if this machine has it not."""
    import torch

    found = name or ("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, number = found.partition(":")
    if kind not in ("cpu", "cuda") or (number and not number.isdecimal()):
        raise ValueError(f"no device {found!r}: it is cpu, cuda or cuda:NUMBER")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        raise ValueError(f"no device {found!r}: torch finds {torch.cuda.device_count()} GPUs on this machine")
    return found
