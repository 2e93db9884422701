"""Every command that a page or a settings file prints is run, dry-run or parsed, as it is printed."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import re
import runpy
import shlex
import subprocess
import sys
from itertools import takewhile
from pathlib import Path
from typing import Any

import pages
import pytest
import typer
from dry_runs import snakemake
from pages import Printed
from snakemake.cli import get_argument_parser

NAMES = {  # what stands for a name of the reader's
    "ablation_NAME": "ablation_n",
    "slurm_partition=NAME": "slurm_partition=gpu",
    "slurm_account=NAME": "slurm_account=mine",
}
FILES = {  # what the reader brings -> a file here that may stand for it
    "my.tsv": "prompts/dreamfusion40.tsv",
    **{f"clouds/p0{i}-0.ply": "prompts/smoke.tsv" for i in range(1, 6)},  # of the job of five
    "segmentdreamer/scales/mine.yaml": "segmentdreamer/scales/mini.yaml",
    **{f"results/study/study{of}.csv": "prompts/smoke.tsv" for of in ("", "_prompts", "_differences")},
}
NEITHER = {  # neither run nor parsed here, and why
    "source .venv/bin/activate": "`make env` makes it",
    "pip install snakemake-executor-plugin-slurm==2.8.0": "needs a package index; `make test-slurm` runs it",
    "apptainer": "not installed here; tests/test_container.py reads the definition",
    "docker": "not installed here; tests/test_container.py reads the file, CI builds it",
    "snakemake --cores all --sdm apptainer": "wants Apptainer, even for a dry run",
    "pre-commit install": "writes into the clone's .git",
    "python -m docs.generated": "has no options; run by tests/docs/test_generated.py",
    "mkdir -p weights && cp -r toybox/models/prior weights/my-prior": "run by tests/docs/test_adding.py",
    "sed": "run by tests/docs/test_adding.py",
}
PRINTED = pages.commands()


def words(command: str) -> list[str]:
    found = shlex.split(re.sub(r"^\.venv/bin/", "", command), comments=True)
    return [NAMES.get(word, word) for word in found]


def of(*program: str) -> list[Printed]:
    return [
        p for p in PRINTED if p.command not in NEITHER and tuple(words(p.command)[: len(program)]) == program
    ]


def targets(command: list[str]) -> list[str]:
    parsed, _ = get_argument_parser().parse_known_args(command[1:])
    return parsed.targets or []


def plans() -> dict[str, list[str]]:
    """Arguments of Snakemake's to try -> where they are printed; those that differ in a target are one plan.

    A plan of the whole paper's scale takes long, and test_workflow makes it: one asset stands for it here.
    """
    asked: dict[str, dict[str, str]] = {}
    for printed in of("snakemake"):
        command = words(printed.command)
        made = targets(command)
        options = shlex.join(word for word in command[1:] if word not in made)
        options = re.sub(r"(^| )(--cores \w+|-n|--quiet rules)(?= |$)", "", options).strip()
        if not made:
            results = next(iter(re.findall(r"results=(\S+)", options)), "results/paper")
            made = [f"{results}/assets/sctd/p01/0/asset.ply" if "paper" in options else "all"]
        asked.setdefault(options, {}).update(dict.fromkeys(made, str(printed)))
    return {" ".join([*found, options]).strip(): list(found.values()) for options, found in asked.items()}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh clone in which docs/adding.md was followed, with the files that a reader brings."""
    root = pages.clone(tmp_path_factory.mktemp("clone"))
    pages.follow(pages.ROOT / "docs/adding.md", root)
    for path, same in FILES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes((root / same).read_bytes())
    return root


def test_every_command_is_of_a_kind_that_is_tried_or_says_why_not() -> None:
    tried = ("snakemake", "make", "python", "segmentdreamer")
    others = [p for p in PRINTED if words(p.command)[0] not in tried]
    assert not [str(p) for p in others if not {p.command, words(p.command)[0]} & NEITHER.keys()]
    assert len(PRINTED) > 60 and {p.page for p in PRINTED} >= {"README.md", "docs/paper-scale.md"}


@pytest.mark.parametrize(("arguments", "printed"), plans().items(), ids=plans())
def test_a_printed_snakemake_command_plans(arguments: str, printed: list[str], clone: Path) -> None:
    if "profiles/slurm" in arguments and not importlib.util.find_spec("snakemake_executor_plugin_slurm"):
        pytest.skip("needs the Slurm plugin; `make test-slurm` installs it and runs the profile")
    ran = snakemake(*shlex.split(arguments), "-n", "--quiet", "rules", cores=False, cwd=clone)
    assert ran.returncode == 0, "\n".join([*printed, ran.stdout[-500:], ran.stderr[-500:]])


def test_a_printed_run_says_how_many_cores() -> None:
    runs = [words(p.command) for p in of("snakemake")]
    assert not [run for run in runs if not {"--cores", "--workflow-profile", "-n"} & {*run}]


def test_no_page_prints_every_job_of_the_papers_plan() -> None:
    dry = [p for p in of("snakemake") if {"-n", "--dry-run"} & {*words(p.command)}]
    assert dry and not [str(p) for p in dry if "paper" in p.command and "--quiet" not in p.command]


def parse(command: Any, arguments: list[str], name: str = "", parent: Any = None) -> None:
    """Read the arguments as the command does before it begins: names, kinds, what is required."""
    context = command.make_context(name, [*arguments], parent)
    if hasattr(context.command, "resolve_command"):
        within, inner, rest = context.command.resolve_command(context, context._protected_args + context.args)
        parse(inner, rest, within, context)


@pytest.mark.parametrize("printed", [*of("python"), *of("segmentdreamer")], ids=str)
def test_a_printed_program_takes_its_arguments(printed: Printed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a command of ours, they are parsed, its work aside; another program tells its options by --help."""
    program, *rest = takewhile(lambda word: word != ">", words(printed.command))
    rest = ["-m", program, *rest] if program == "segmentdreamer" else rest
    module, *arguments = rest[1:] if rest[0] == "-m" else rest
    parsed, told = [], io.StringIO()

    def read(command: Any, argv: Any = None) -> None:
        parsed.append(argv)
        named = all(re.fullmatch("[a-z]+", word) for word in arguments)  # in a sentence, without its options
        with contextlib.suppress(typer.Exit):  # of --help
            parse(command, [*arguments, "--help"] if named else arguments)
        sys.exit()

    monkeypatch.setattr("segmentdreamer.command.run", read)
    monkeypatch.setattr(sys, "argv", [module, *arguments, "--help"])
    monkeypatch.setenv("COLUMNS", "200")
    with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told), pytest.raises(SystemExit) as end:
        if rest[0] == "-m":
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(str(pages.ROOT / module), run_name="__main__")
    known = set(re.findall(r"(?<![\w-])--?[A-Za-z][\w-]*", told.getvalue()))
    asked = {word.partition("=")[0] for word in arguments if re.match("--?[A-Za-z]", word)}
    assert not end.value.code, told.getvalue()
    assert parsed or asked <= known, sorted(asked - known)


@pytest.mark.parametrize("printed", of("make"), ids=str)
def test_a_printed_target_of_make_is_there(printed: Printed, clone: Path) -> None:
    command = [*words(printed.command), "--dry-run"]
    ran = subprocess.run(command, cwd=clone, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
