"""Users' files and words are data: nothing in them is run, unpacked to a place of theirs, or markup."""

from __future__ import annotations

import ast
import os
import pickle
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import simulated_run as simulated
import yaml
from dry_runs import snakemake

from eval.study import kit
from eval.tables import table1
from segmentdreamer.checkpoint import load_checkpoint
from segmentdreamer.config import load_config

ROOT = Path(__file__).parents[2]
HOSTILE = (
    "<img src=x onerror=alert(1)></script><script>alert(1)</script>\"'&{{7*7}}${x}$(touch x)`touch x`;|\\"
)


def calls() -> Iterator[tuple[str, ast.Call]]:
    """Every call in the project's code: where it stands, and what it is."""
    for folder in ("segmentdreamer", "baselines", "eval", "toybox", "workflow/scripts"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call):
                    yield f"{path.relative_to(ROOT)}:{node.lineno} {ast.unparse(node.func)}", node


def test_no_code_unpickles_unpacks_or_asks_a_shell() -> None:
    found = []
    for where, call in calls():
        name = where.split()[1]
        given = {word.arg: ast.unparse(word.value) for word in call.keywords}
        banned = (
            r"(pickle|dill|joblib|marshal)\.loads?|os\.(system|popen)|.*\.extract(all)?|shutil\.unpack_archive"
            "|eval|exec"
        )
        if re.fullmatch(banned, name):
            found.append(where)
        if name == "torch.load" and given.get("weights_only") != "True":
            found.append(where)
        if given.get("shell") == "True" or given.get("allow_pickle") == "True":
            found.append(where)
        if (
            name in ("yaml.load", "yaml.unsafe_load", "yaml.full_load")
            and ast.unparse(call.args[-1]) != "Loader"
        ):
            found.append(where)
    assert not found


class Bomb:
    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.mark),)


def test_a_checkpoint_that_would_run_code_is_not_unpickled(tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(pickle.dumps(Bomb(tmp_path / "mark")))
    assert load_checkpoint(tmp_path / "a.pt", "key", load_config("mini"), "cpu") is None
    assert not (tmp_path / "mark").exists()


def test_no_word_of_a_prompt_reaches_a_shell(tmp_path: Path) -> None:
    table = tmp_path / "hostile.tsv"
    row = f"p01\t{HOSTILE}\ta cat.\tobject\tno"
    table.write_text(f"id\tprompt\tinit_prompt\tcamera\tsymmetric\n{row}\np02\t-a cat\ta cat.\tobject\tno\n")
    targets = [f"{tmp_path}/r/assets/sctd/{name}/0/asset.ply" for name in ("p01", "p02")]
    ran = snakemake(*targets, "-n", "-p", "--config", f"results={tmp_path}/r", f"prompts={table}")
    assert ran.returncode == 0, ran.stderr
    assert "no true scene for these prompts: p01, p02" in ran.stderr
    commands = re.findall(r"python -m segmentdreamer\.(?:generate|batch) .*", ran.stdout + ran.stderr)
    words = [word for command in commands for word in shlex.split(command)]
    assert commands and HOSTILE in words and "-a cat" in words


def test_tables_and_study_pages_show_hostile_titles_and_prompts_as_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    root = simulated.write_run(tmp_path / "run", known=True)
    arguments = simulated.arguments(root)
    methods = yaml.safe_load((ROOT / "baselines/methods.yaml").read_text())
    titles = tmp_path / "methods.yaml"
    titles.write_text(yaml.safe_dump({name: entry | {"title": HOSTILE} for name, entry in methods.items()}))
    arguments[arguments.index("--titles") + 1] = str(titles)
    prompts = root / "prompts.tsv"
    prompts.write_text(prompts.read_text().replace("a thing number", f"{HOSTILE} number"))
    table1.main(arguments)
    pages = [path.read_text() for path in root.rglob("*.html")]
    assert pages
    for page in pages:
        assert "<img src=x" not in page and "<script>alert" not in page and "&lt;img src=x" in page


def test_no_prompt_ends_the_script_of_a_volunteers_page() -> None:
    import pandas as pd

    row = {"study": HOSTILE, "source": "s", "volunteer": HOSTILE, "group": 1, "kind": "", "position": 1,
           "prompt": "p01", "video": "a.mp4", "method": "sds", "seed": 0}  # fmt: skip
    page = kit.page(pd.DataFrame([row]), {"p01": HOSTILE})
    assert "<img src=x" not in page and "<script>alert" not in page
