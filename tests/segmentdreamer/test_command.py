"""The one command line and its Python: the same functions, lazily imported, with errors in one line."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import pytest

from segmentdreamer.__main__ import COMMANDS
from segmentdreamer.command import Program, inputs, settings
from segmentdreamer.scene.gaussians import load_ply

ROOT = Path(__file__).parents[2]
SMALL = ["train.steps=2", "start.count=60"]


def call(*arguments: str, module: str = "segmentdreamer") -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_an_asset_made_from_python_is_the_command_lines(tmp_path: Path) -> None:
    from segmentdreamer import generate

    made = generate("a yellow duck", "sds", overrides=SMALL, out=tmp_path / "python", quiet=True)
    words = [word for item in SMALL for word in ("--set", item)]
    ran = call(
        "generate", "a yellow duck", "--method", "sds", *words, "--out", str(tmp_path / "command"), "--quiet"
    )
    assert ran.returncode == 0, ran.stderr
    assert made.path.read_bytes() == (tmp_path / "command/asset.ply").read_bytes()
    assert {*made.parameters} == {*load_ply(made.path)} and len(made.rows) == 2 and not made.cost["failed"]
    assert json.loads(json.dumps(made.provenance)) == json.loads(
        (tmp_path / "python/provenance.json").read_text()
    )


def test_generate_is_a_function_and_a_module() -> None:
    import segmentdreamer.generate
    from segmentdreamer import generate

    assert callable(generate) and callable(segmentdreamer.generate.main)
    assert list(inspect.signature(generate).parameters)[:5] == [
        "prompt",
        "method",
        "scale",
        "overrides",
        "seed",
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"prompt": " "}, "an empty prompt"),
        ({"seed": 1.5}, "seed 1.5 is no int"),
        ({"seed": "1"}, "seed '1' is no int"),
        ({"overrides": "train.steps=x"}, "train.steps"),
    ],
)
def test_what_cannot_be_made_is_told_in_one_line(tmp_path: Path, arguments: dict, words: str) -> None:
    from segmentdreamer import generate

    with pytest.raises(ValueError, match=words) as caught:
        generate(**({"prompt": "a duck", "out": tmp_path / "a"} | arguments))
    assert "\n" not in str(caught.value) and not (tmp_path / "a").exists()


def test_a_bare_name_shows_what_there_is_and_no_error() -> None:
    ran = call()
    assert ran.returncode == 2 and "generate" in ran.stdout + ran.stderr and "error" not in ran.stderr


def test_the_command_finds_a_prior_of_the_folder_where_one_stands(tmp_path: Path) -> None:
    """As `python -m` does, also where an entry point begins elsewhere."""
    (tmp_path / "own_prior.py").write_text(
        "from segmentdreamer.prior.random_networks import open_random as opened\n"
    )
    begin = f"import sys; sys.path[0] = {str(ROOT)!r}; from segmentdreamer.__main__ import main; main()"
    asked = ["generate", "a duck", "--set", "prior.class=own_prior:absent", "--set", "prior.path=''"]
    ran = subprocess.run([sys.executable, "-c", begin, *asked], cwd=tmp_path, capture_output=True, text=True)
    assert "has no attribute 'absent'" in ran.stderr


def test_bad_input_from_python_is_an_error_to_catch(tmp_path: Path) -> None:
    from segmentdreamer import generate

    with pytest.raises(ValueError, match="unknown method 'nope'"):
        generate("a yellow duck", "nope", out=tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_list_of_commands_imports_none_of_them() -> None:
    watch = (
        "import sys, runpy; sys.argv = ['segmentdreamer', '--help']\n"
        "try: runpy.run_module('segmentdreamer', run_name='__main__')\n"
        "except SystemExit: print(sorted({'torch', 'numpy', 'eval', 'segmentdreamer.eval'} & {*sys.modules}))"
    )
    told = subprocess.run([sys.executable, "-c", watch], cwd=ROOT, capture_output=True, text=True, check=True)
    assert told.stdout.splitlines()[-1] == "[]"
    assert all(name in told.stdout for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_the_program_of_its_module(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    from importlib import import_module

    module = COMMANDS[name][0]
    where = module if module.startswith("eval") else f"segmentdreamer.{module}"
    with pytest.raises(SystemExit, match="0"):
        import_module(where).main(["--help"])
    told = capsys.readouterr().out
    assert any(group in told for group in ("Commands", "Arguments", "Inputs"))  # options are grouped
    assert call(name, "--help").returncode == 0


def test_the_version_is_told() -> None:
    assert call("--version").stdout.startswith("segmentdreamer ")


def test_shells_complete_commands_and_options() -> None:
    for words, expected in (("segmentdreamer gen", "generate"), ("segmentdreamer generate --see", "--seed")):
        asked = {
            "_SEGMENTDREAMER_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split()) - 1),
        }
        watch = "import sys; from segmentdreamer.__main__ import main; sys.argv = ['segmentdreamer']; main()"
        told = subprocess.run(
            [sys.executable, "-c", watch], cwd=ROOT, capture_output=True, text=True, check=False, env=asked
        )
        assert expected in told.stdout, told.stderr


@pytest.mark.parametrize(
    ("words", "status", "reason"),
    [
        (["generate", "a duck", "--method", "nope"], 1, "unknown method 'nope'"),
        (["generate"], 2, "Missing argument"),
        (["generate", "a duck", "--sed", "1"], 2, "--sed"),
        (["generate", "a duck", "--seed", "one"], 2, "--seed"),
        (["nope"], 2, "nope"),
        (["weights"], 2, "give a name, --all or --check"),
        (["score", "--prompts", "x.tsv"], 2, "give either FOLDER or --views"),
        (["score", "nowhere", "--prompts", "nowhere.tsv"], 1, "nowhere"),
        (["study", "collect", "--study", "s", "--answers"], 2, "--answers"),
    ],
)
def test_what_is_wrong_is_one_line_on_standard_error(words: list[str], status: int, reason: str) -> None:
    ran = call(*words)
    assert ran.returncode == status and not ran.stdout
    (line,) = ran.stderr.splitlines()
    assert line.startswith("error: ") and reason in line


def test_an_option_takes_values_in_a_row_where_it_says_so_and_one_where_not() -> None:
    got = {}

    def collect(
        name: str,
        methods: Annotated[list[str], inputs("several", metavar="METHOD...")],
        changes: Annotated[list[str] | None, settings("one at a time", "--set")] = None,
    ) -> None:
        got.update(name=name, methods=methods, changes=changes)

    run = Program(collect)
    run(["--methods", "sds", "ism", "--set", "a=1", "duck", "--set", "b=2"])
    assert got == {"name": "duck", "methods": ["sds", "ism"], "changes": ["a=1", "b=2"]}
    run(["duck", "--methods", "sds", "--methods", "ism"])
    assert got["methods"] == ["sds", "ism"] and not got["changes"]
    run(["--name", "duck", "--methods", "sds"])  # an argument by its name
    assert got["name"] == "duck" and got["methods"] == ["sds"]


def test_an_interrupted_program_ends_as_shells_expect() -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit, match="130"):
        Program(stop)([])
