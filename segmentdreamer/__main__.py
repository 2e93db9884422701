"""`segmentdreamer COMMAND ...`, the one command line; a command's module is imported when it is called."""

import sys
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from segmentdreamer.command import run

COMMANDS = {  # name: module below segmentdreamer, and what it does
    "generate": ("generate", "Make a 3D asset from a prompt."),
    "batch": ("batch", "Make several assets of one method in one process."),
    "views": ("eval.views.render", "Render the evaluation views of assets."),
    "score": ("eval.score", "Score views of 3D assets by their prompts."),
    "study": ("eval.study.commands", "Run a blinded ranking study of a run's videos."),
    "report": ("eval.report.build", "Build the report of a run: gallery, viewer, tables, pages of assets."),
    "watch": ("eval.report.watch", "Say how far a run is: stages, assets, time left, cost."),
    "publish": ("eval.report.publish", "Build the report of a finished run as a small static site."),
    "reproduce": ("eval.reproduce", "Compare a fresh run with the published one, figure by figure."),
    "enter": ("eval.others.door", "Take an asset or views of another program into a run."),
    "verify": ("eval.others.verify", "Say which numbers of a finished run hold."),
    "weights": ("weights.commands", "Fetch and verify the weights that a scale needs."),
    "benchmark": ("benchmark", "Time the optimization step of each method."),
    "start": ("start.__main__", "Write the states that optimizations start from."),
    "reference": ("eval.reference.draw", "Draw the reference set of FID, merge its shards, or draw views."),
    "theory": ("eval.theory.experiment", "Measure Theorem 1 on the analytic prior."),
}


class Later(TyperCommand):
    """A command whose module is not imported for the list of commands."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        module = import_module(f"segmentdreamer.{COMMANDS[self.name or ''][0]}")
        return module.main.command.make_context(info_name, args, parent, **extra)


def show_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"segmentdreamer {version('segmentdreamer-bench')}")
        raise typer.Exit


def describe(
    _: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="and leave")
    ] = False,
) -> None:
    """A reproducible benchmark of score distillation for text-to-3D."""


app = typer.Typer(no_args_is_help=True)
app.callback()(describe)
for name, (_, about) in COMMANDS.items():
    app.command(name, cls=Later, help=about)(lambda: None)


def main() -> None:
    sys.path.append("")  # as under `python -m`: a prior or a method may lie there
    run(typer.main.get_command(app))


if __name__ == "__main__":
    main()
