"""Changed this, reran that: what Snakemake plans again over a finished run, a row for each change."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
COPIED = ("segmentdreamer", "eval", "baselines", "prompts", "toybox")
LINKED = ("workflow", "profiles", "Snakefile")
CONFIG = {
    "results": "r",
    "prompts": "prompts/three.tsv",
    "methods": ["sds", "sctd"],
    "reference": {"shards": 9},
    "assets_per_job": 1,
    "scores_per_job": 1,
    "device": "cpu",
}
PRODUCT = re.compile(
    r"r/(assets|views|scores|truth)/(?:(\w+)/)?(p\d+)/(?:0/)?(?:asset\.ply|views\.zip|scores\.csv)$"
)
SHARD = re.compile(r"r/reference/shards/(p\d+)\.npz$")


class Run:
    """A finished run in a copy of the project, made by nobody: only what was recorded of it is real."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in COPIED:
            shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in LINKED:
            (root / name).symlink_to(ROOT / name)
        lines = (ROOT / "prompts/toybox.tsv").read_text().splitlines(keepends=True)
        (root / "prompts/three.tsv").write_text("".join(lines[:4]))
        (root / "bin").mkdir()
        (root / "bin/python").symlink_to(ROOT / "tests/workflow/stand_in")
        self.configure({})
        self.environment = os.environ | {
            "PATH": f"{root / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "SEGMENTDREAMER_CACHE": str(root / "cache"),
        }
        self.environment.pop("PYTHONPATH", None)
        rows = ("sds", "sctd", "prior", "truth", "shuffled", "start", "sphere")
        self.targets = [f"r/scores/{row}/p0{i}/0/scores.csv" for i in (1, 2, 3) for row in rows]
        self.targets += ["r/reference/manifest.json", "--configfile", "own.yaml"]
        command = [sys.executable, "-m", "snakemake", "--cores", "4", *self.targets]
        ran = subprocess.run(
            command, cwd=root, env=self.environment, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stderr
        (root / "r/settings.yaml").unlink()  # or other settings would be refused a folder that is made
        self.planner = subprocess.Popen(
            [sys.executable, ROOT / "tests/workflow/planner.py"],
            cwd=root,
            env=self.environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

        self.everything = self.plan("--forceall")
        places = [root / "own.yaml", *(path for name in COPIED for path in (root / name).rglob("*"))]
        self.kept = {path: path.read_bytes() for path in places if path.is_file()}

    def restore(self) -> None:
        for path, content in self.kept.items():
            if path.read_bytes() != content:
                path.write_bytes(content)

    def configure(self, changes: dict) -> None:
        (self.root / "own.yaml").write_text(yaml.safe_dump(CONFIG | changes))

    def plan(self, *more: str) -> set[str]:
        """What would be made, as `assets sctd p01`, `truth p01`, `samples p01`."""
        assert self.planner.stdin and self.planner.stdout
        self.planner.stdin.write(json.dumps([*more, *self.targets]) + "\n")
        self.planner.stdin.flush()
        told = json.loads(self.planner.stdout.readline())
        assert not told["code"], told["text"]
        found = {" ".join(filter(None, m.groups())) for path in told["made"] if (m := PRODUCT.match(path))}
        return found | {f"samples {m[1]}" for path in told["made"] if (m := SHARD.match(path))}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    made = Run(tmp_path_factory.mktemp("finished"))
    yield made
    made.planner.kill()
    made.planner.wait()


Change = Callable[[Run], None]


def edit(path: str, old: str, new: str) -> Change:
    def change(run: Run) -> None:
        text = (run.root / path).read_text()
        assert text.count(old) >= 1, (path, old)
        (run.root / path).write_text(text.replace(old, new, 1))

    return change


def append(path: str, text: str) -> Change:
    return lambda run: (run.root / path).write_text((run.root / path).read_text() + text) and None


def flip(path: str) -> Change:
    """One bit of a file's last byte."""

    def change(run: Run) -> None:
        content = bytearray((run.root / path).read_bytes())
        content[-1] ^= 1
        (run.root / path).write_bytes(bytes(content))

    return change


def touch(*paths: str) -> Change:
    return lambda run: [os.utime(run.root / path) for path in paths] and None


def configure(**changes: object) -> Change:
    return lambda run: run.configure(changes)


NONE: list[str] = []
OF_ASSETS = ["assets s[dc]* *", "views s[dc]* *", "scores s[dc]* *", "* shuffled *"]  # of sds and sctd
OF_SDS = ["* sds *"]
OF_SCTD = ["* sctd *", "* shuffled *"]
OF_PRIOR = ["samples *", "views prior *", "scores prior *"]
SCORES = ["scores *"]
VIEWS = [
    "truth *",
    *(f"views {name} *" for name in ("sds", "sctd", "start", "sphere", "truth", "shuffled")),
    *SCORES,
]
SCALE = "segmentdreamer/scales/mini.yaml"
MODELS = "toybox/models"

SCENES = "prompts/three.tsv"
INPUTS = (
    SCENES,
    SCALE,
    "baselines/sds.py",
    "eval/scores/clip.py",
    f"{MODELS}/prior/model_index.json",
    f"{MODELS}/clip/model.safetensors",
)
ONE_TEXT = ["assets s[dc]* p02", "views s[dc]* p02", "samples p02", "views prior p02", "views shuffled p01"]
COMMENT, TRUNK = "\n# x\n", "segmentdreamer/recipe/identity.py"
CAR = "p04\ta green car\ta car\tobject\tno\tcar\tgreen\twhite\n"
DRAWN = [*OF_ASSETS, *OF_PRIOR]
STARTS = ["* start *", "* sphere *"]
RENDERED = ["views prior *", "views start *", "views sphere *", *SCORES]

ROWS: dict[str, tuple[Change, list[str]]] = {
    "nothing": (configure(), NONE),
    "a comment in the trunk": (append("segmentdreamer/optimize.py", COMMENT), NONE),
    "a comment in a shared scorer": (append("eval/scores/scorers.py", COMMENT), NONE),
    "a comment in the renderer of views": (append("eval/views/render.py", COMMENT), NONE),
    "a comment in the sampler": (append("eval/reference/samples.py", COMMENT), NONE),
    "the times of all inputs": (touch(*INPUTS), NONE),
    "the trunk's numbers": (
        edit(TRUNK, "NUMBERS = ", "NUMBERS = 9 + "),
        [*DRAWN, *STARTS],
    ),
    "the views' numbers": (edit("eval/identity.py", "VIEWS = ", "VIEWS = 9 + "), VIEWS),
    "the scores' numbers": (edit("eval/identity.py", "SCORES = ", "SCORES = 9 + "), [*SCORES, "samples *"]),
    "a loss": (append("baselines/sds.py", COMMENT), OF_SDS),
    "a file that several losses name": (append("segmentdreamer/diffusion/times.py", COMMENT), OF_ASSETS),
    "a file of one loss": (append("segmentdreamer/segments.py", COMMENT), OF_SCTD),
    "a loss that does not run": (append("baselines/ism.py", COMMENT), NONE),
    "a method's settings": (edit("baselines/methods.yaml", "perp_neg=false", "perp_neg=true"), OF_SDS),
    "a method's title": (edit("baselines/methods.yaml", "title: SDS", "title: S"), NONE),
    "a byte of the UNet": (flip(f"{MODELS}/prior/unet/diffusion_pytorch_model.safetensors"), DRAWN),
    "a byte of the scheduler": (flip(f"{MODELS}/prior/scheduler/scheduler_config.json"), DRAWN),
    "one prompt's text": (edit(SCENES, "red bear", "read bear"), [*ONE_TEXT, *SCORES]),
    "what a cloud is made of": (edit(SCENES, "a bear", "a bare"), NONE),
    "a prompt more": (append(SCENES, CAR), ["truth *", "views truth *", "views shuffled p03", *SCORES]),
    "one method's omega": (edit(SCALE, "sctd: {omega: 3.5}", "sctd: {omega: 3.25}"), OF_SCTD),
    "omega of a method that does not run": (edit(SCALE, "ism: {omega: 5.0}", "ism: {omega: 4.0}"), NONE),
    "a setting of all": (edit(SCALE, "steps: 200", "steps: 201"), OF_ASSETS),
    "a comment in the scale": (append(SCALE, COMMENT), NONE),
    "the start": (edit(SCALE, "count: 1000", "count: 999"), [*OF_ASSETS, "* start *"]),
    "the view words": (edit(SCALE, "right side", "right"), [*OF_ASSETS, *SCORES]),
    "how the prior's networks run": (edit(SCALE, "prior:", "prior:\n  vae_tiles: true"), DRAWN),
    "an override": (configure(overrides=["train.steps=3"]), OF_ASSETS),
    "an override of one method": (configure(overrides=["methods.sds.omega=4"]), OF_SDS),
    "an override of the prior": (configure(overrides=[f"prior.path={MODELS}/coarse_prior"]), DRAWN),
    "the views' size": (configure(views={"size": 32}), VIEWS),
    "the samples' steps": (configure(reference={"steps": 9, "shards": 9}), OF_PRIOR),
    "the samples' guidance": (configure(reference={"omega": 9, "shards": 9}), OF_PRIOR),
    "the samples' number": (configure(reference={"count": 9, "shards": 9}), ["samples *"]),
    "a byte of CLIP": (flip(f"{MODELS}/clip/model.safetensors"), [*SCORES, "samples *"]),
    "CLIP's configuration": (append(f"{MODELS}/clip/toybox-clip.json", " "), [*SCORES, "samples *"]),
    "a byte of the judge": (flip(f"{MODELS}/judge/model.safetensors"), SCORES),
    "the reward's configuration": (append(f"{MODELS}/reward/config.json", " "), SCORES),
    "a metric": (append("eval/scores/pathologies/floaters.py", COMMENT), SCORES),
    "a metric's title": (edit("eval/metrics.yaml", "name: CLIP,", "name: C,"), NONE),
    "threads": (configure(threads=2), OF_ASSETS),
    "the kind of device": (configure(device="cuda"), [*OF_ASSETS, "samples *", *RENDERED]),
    "what is selected": (configure(methods=["sctd", "sds", "ism"], seeds=2), NONE),
}


@pytest.mark.parametrize("changed", ROWS)
def test_exactly_what_depends_on_a_change_is_made_again(run: Run, changed: str) -> None:
    change, expected = ROWS[changed]
    try:
        change(run)
        found = run.plan()
    finally:
        run.restore()
    asked = {name for name in run.everything if any(fnmatch(name, pattern) for pattern in expected)}
    assert not asked - found
    assert not {name for name in found - asked if "p04" not in name}
    assert bool(found) == bool(expected)
