"""Every setting reaches the program that it is for; every job names the files that its result depends on.

One job of each rule, with inputs, outputs and command, stands in tests/data/plans.yaml as a dry run prints
it under settings that differ from all defaults. `python tests/workflow/test_wiring.py` writes the file anew:
read its difference line by line before you commit it.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parents[1]))

from dry_runs import ROOT, snakemake

GOLDEN = ROOT / "tests/data/plans.yaml"
SETTINGS = {
    "methods": ["ism", "sctd"],
    "seeds": 2,
    "overrides": ["train.steps=7", "render.near=0.02"],
    "views": {"count": 9, "elevation": 4, "radius": 4.3, "fov": 0.49, "size": 60},
    "reference": {"count": 6, "steps": 3, "omega": 6.5, "shards": 2},
    "ablations": {"prompts": ["p02", "p03"], "seeds": 2},
}
# Of every plan: what is asked for, and the configuration that it is asked with.
PLANS: dict[str, list[str]] = {
    "table1": ["all", "theory", "reproduce", "--configfile", "SETTINGS"],
    "ablation": ["ablation_n", "--configfile", "SETTINGS"],
    "paper": ["table1", "--configfile", "workflow/config/paper.yaml", "--config", "prompts=prompts/smoke.tsv",
              "methods=[gcs]"],
    "toybox": ["toybox_models", "--config"],
    "others": ["try_method", "table_extended", "table1", "--config", "method=ism",
               "methods=[sctd,ironengine]"],
}  # fmt: skip
# A job with a message of its own is called by its first word.
JOB = re.compile(r"^ *(?:(?:local)?rule|Job \d+:) (\w+)[^\n]*\n(.*?)^Shell command: ([^\n]*)", re.M | re.S)


def describe(plan: str, folder: Path) -> dict[str, dict[str, object]]:
    """Of every rule in a plan, the job whose outputs come first in the alphabet."""
    (folder / "settings.yaml").write_text(yaml.safe_dump(SETTINGS))
    asked = [str(folder / "settings.yaml") if word == "SETTINGS" else word for word in PLANS[plan]]
    where = f"results={folder}/r"
    asked += [where] if "--config" in asked else ["--config", where]
    ran = snakemake(*asked, "-n", "-p", "--forceall")
    assert ran.returncode == 0, ran.stderr
    jobs: dict[str, dict[str, object]] = {}
    for rule, block, command in JOB.findall(ran.stdout + ran.stderr):
        parts = {
            key: (re.findall(rf"^ +{key}: (.*)$", block, re.M) or [""])[0] for key in ("input", "output")
        }
        made = parts["output"].replace(" (update)", "")
        # An identity is a digest of code and weights: that it is passed is what is read here.
        command = re.sub(r"(--\w*identit\w+|--drawn)( [0-9a-f]{8,16}| unknown)+", r"\1 ID", command)
        job = {"input": sorted(parts["input"].split(", ")), "output": made, "command": command}
        text = yaml.safe_dump(job, width=10**6).replace(str(folder), "OUT").replace(sys.executable, "python")
        job = yaml.safe_load(text.replace(str(ROOT), "ROOT"))
        if rule not in jobs or str(job["output"]) < str(jobs[rule]["output"]):
            jobs[rule] = job
    return dict(sorted(jobs.items()))


@pytest.mark.parametrize("plan", PLANS)
def test_every_jobs_inputs_and_command_are_those_that_were_read_and_committed(
    plan: str, tmp_path: Path
) -> None:
    expected, found = yaml.safe_load(GOLDEN.read_text())[plan], describe(plan, tmp_path)
    assert list(found) == list(expected)
    for rule, job in expected.items():
        assert found[rule] == job, rule


def test_no_setting_of_this_file_is_a_default() -> None:
    default = yaml.safe_load((ROOT / "workflow/config/default.yaml").read_text())
    for key, value in SETTINGS.items():
        pairs = value.items() if isinstance(value, dict) else [(key, value)]
        usual = default[key] if isinstance(value, dict) else default
        assert not any(usual.get(name) == chosen for name, chosen in pairs), key


def main() -> None:
    import tempfile

    plans = {}
    for plan in PLANS:
        with tempfile.TemporaryDirectory() as folder:
            plans[plan] = describe(plan, Path(folder))
    GOLDEN.write_text(yaml.safe_dump(plans, sort_keys=False, width=10**6))


if __name__ == "__main__":
    main()
