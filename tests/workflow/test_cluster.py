"""Jobs and devices: who gets a GPU, what every rule asks for, what the profiles say, a real Slurm."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import with_gpu
import yaml
from dry_runs import planned, snakemake
from same_table import differences

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "workflow/scripts"
PROFILES = ROOT / "workflow/profiles"

WITH_GPU = [sys.executable, str(SCRIPTS / "with_gpu.py")]
SHOW = [
    sys.executable,
    "-c",
    "import os, time; print(os.environ['CUDA_VISIBLE_DEVICES'], flush=True); time.sleep({})",
]


AT_HOME = {  # seconds of work, or the network: on the submitting node
    "all", "sphere", "truth_views", "shuffled_views", "claims", "environment", "weights",
    "ablation_table", "ablation_plot", "ablation_grid", "ablation_n",
}  # fmt: skip


def environment(tmp_path: Path, devices: str, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SLURM")}
    return kept | {"TMPDIR": str(tmp_path), "CUDA_VISIBLE_DEVICES": devices, **more}


def show(seconds: float) -> list[str]:
    return [*WITH_GPU, *SHOW[:2], SHOW[2].format(seconds)]


def test_jobs_that_run_at_the_same_time_get_devices_of_their_own(tmp_path: Path) -> None:
    env = environment(tmp_path, "0,3")
    jobs = [subprocess.Popen(show(1.0), env=env, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert sorted(job.communicate()[0].strip() for job in jobs) == ["0", "3"]


def test_a_job_waits_while_every_device_is_taken_and_gets_the_one_that_falls_free(tmp_path: Path) -> None:
    env, log = environment(tmp_path, "0"), tmp_path / "log"
    code = f"echo in >> {log}; sleep 0.3; echo out >> {log}; echo $CUDA_VISIBLE_DEVICES"
    jobs = [
        subprocess.Popen([*WITH_GPU, "sh", "-c", code], env=env, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [job.communicate()[0].strip() for job in jobs] == ["0", "0"]
    assert log.read_text().split() == ["in", "out", "in", "out"]


def test_two_jobs_share_a_device_only_if_asked(tmp_path: Path) -> None:
    """Each waits for the other one's sign: were they to take turns, the first would wait in vain."""
    env = environment(tmp_path, "0", GPU_SLOTS="2")
    code = "touch {0}/{1}; n=0; until [ -e {0}/{2} ] || [ $n = 300 ]; do sleep 0.1; n=$((n+1)); done; ls {0}"
    (tmp_path / "signs").mkdir()
    jobs = [
        subprocess.Popen(
            [*WITH_GPU, "sh", "-c", code.format(tmp_path / "signs", mine, other)],
            env=env,
            stdout=subprocess.PIPE,
            text=True,
        )
        for mine, other in (("a", "b"), ("b", "a"))
    ]
    assert [job.communicate()[0].split() for job in jobs] == [["a", "b"], ["a", "b"]]


STUB = """#!/bin/sh
case $1 in *with_gpu.py) exec {python} "$@" ;; esac
if [ $2 = segmentdreamer.batch ]; then
  touch {signs}/$$; n=0
  until [ $(ls {signs} | wc -l) = 2 ] || [ $n = 300 ]; do sleep 0.1; n=$((n+1)); done
  [ $(ls {signs} | wc -l) = 2 ] || exit 1
fi
exec {stand_in} "$@"
"""


def test_as_many_jobs_share_a_device_as_gpu_share_says(tmp_path: Path) -> None:
    """Each asset waits for the other one's sign: were they to take turns, the first would fail."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "signs").mkdir()
    stub = STUB.format(
        python=sys.executable, signs=tmp_path / "signs", stand_in=ROOT / "tests/workflow/stand_in"
    )
    (tmp_path / "bin/python").write_text(stub)
    (tmp_path / "bin/python").chmod(0o755)
    command = [
        sys.executable, "-m", "snakemake", *(f"{tmp_path}/r/assets/sds/p0{i}/0/asset.ply" for i in (1, 2)),
        "--nolock", "--cores", "4", "--resources", "gpu=1",
        "--config", f"results={tmp_path}/r", "device=cuda", "gpu_share=2", "assets_per_job=1",
    ]  # fmt: skip
    env = environment(
        tmp_path, "0", PATH=f"{tmp_path / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    )
    ran = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert (tmp_path / "r/kernels/benchmark.md").exists()  # before both


def test_a_killed_job_gives_its_device_back(tmp_path: Path) -> None:
    env = environment(tmp_path, "0")
    job = subprocess.Popen(show(60), env=env, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert job.stdout is not None and job.stdout.readline().strip() == "0"
    os.killpg(job.pid, 9)
    job.wait()
    after = subprocess.run(show(0), env=env, capture_output=True, text=True, timeout=20, check=True)
    assert after.stdout.strip() == "0"


@pytest.mark.parametrize(("devices", "more"), [("", {}), ("0", {"SLURM_JOB_ID": "7"}), ("-1", {})])
def test_without_a_device_or_with_one_of_a_scheduler_the_command_runs_as_it_is(
    tmp_path: Path, devices: str, more: dict[str, str]
) -> None:
    env = environment(tmp_path, devices, **more)
    ran = subprocess.run(show(0), env=env, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == devices and not list(tmp_path.iterdir())


def test_jobs_of_one_allocation_get_devices_of_their_own_and_wait_for_no_other_allocation(
    tmp_path: Path,
) -> None:
    """Slurm numbers the devices of each of its jobs from 0."""
    envs = [environment(tmp_path, "0,1", SLURM_JOB_ID=job) for job in ("7", "7", "8", "8")]
    jobs = [subprocess.Popen(show(1.0), env=env, stdout=subprocess.PIPE, text=True) for env in envs]
    shown = [job.communicate(timeout=60)[0].strip() for job in jobs]
    assert sorted(shown[:2]) == sorted(shown[2:]) == ["0", "1"]


UUID = "GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77"
OLD, NEW = f"MIG-{UUID}/1/0", "MIG-b1a2c3d4-0000-5e5e-9f9f-0a0b0c0d0e0f"


@pytest.mark.parametrize(
    ("shown", "devices"),
    [
        ("0,1", ["0", "1"]), (" 2 , 0", ["2", "0"]), ("", []), ("-1", []), ("0,-1,1", ["0"]),
        ("0,,1", ["0"]), ("1,x,0", ["1"]), ("NoDevFiles", []), ("none", []), ("0,0", ["0"]),
        (f"{UUID},1", [UUID, "1"]), ("GPU-5d5b", ["GPU-5d5b"]), ("GPU", []), (f"{OLD},{NEW}", [OLD, NEW]),
    ],
)  # fmt: skip
def test_the_list_of_devices_is_read_by_cudas_rules(
    shown: str, devices: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", shown)
    assert with_gpu.visible_devices() == devices


def test_without_the_variable_the_machine_is_asked_and_split_gpus_count_by_their_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = (
        f"GPU 0: NVIDIA GPU 7: a (UUID: {UUID})\n"
        f"GPU 1: NVIDIA A100 (UUID: {UUID})\n  MIG 1g.5gb     Device  0: (UUID: {NEW})\n"
        f"  MIG 1g.5gb     Device  1: (UUID: {OLD})\n"
    )
    (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\ncat <<END\n{listed}END\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert with_gpu.visible_devices() == ["0", NEW, OLD]


@pytest.mark.parametrize("device", [OLD, NEW, UUID])
def test_a_device_of_any_name_can_be_held(tmp_path: Path, device: str) -> None:
    ran = subprocess.run(show(0), env=environment(tmp_path, f"{device},0"), capture_output=True, text=True)
    assert ran.stdout.strip() == device, ran.stderr


def test_a_killed_wrapper_is_its_command_and_holds_the_device_while_something_of_it_runs(
    tmp_path: Path,
) -> None:
    """Killed alone, not as a group: what it had started goes on, and keeps the device meanwhile."""
    env = environment(tmp_path, "0")
    code = f"sh -c 'sleep 2; touch {tmp_path}/ended' & echo $$; wait"
    job = subprocess.Popen([*WITH_GPU, "sh", "-c", code], env=env, stdout=subprocess.PIPE, text=True)
    assert job.stdout is not None and int(job.stdout.readline()) == job.pid
    job.kill()
    job.wait()
    check = [*WITH_GPU, "sh", "-c", f"ls {tmp_path}/ended"]
    after = subprocess.run(check, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert after.returncode == 0, after.stderr


@pytest.mark.parametrize(
    ("command", "more", "words"),
    [(["no-such-command"], {}, "cannot be run"), (["true"], {"GPU_SLOTS": "two"}, "not 'two'")],
)
def test_what_cannot_be_run_is_said_in_one_line(
    tmp_path: Path, command: list[str], more: dict[str, str], words: str
) -> None:
    ran = subprocess.run(
        [*WITH_GPU, *command], env=environment(tmp_path, "0", **more), capture_output=True, text=True
    )
    assert ran.returncode == 1 and words in ran.stderr and len(ran.stderr.splitlines()) == 1


def test_the_commands_exit_status_is_passed_on(tmp_path: Path) -> None:
    command = [*WITH_GPU, sys.executable, "-c", "raise SystemExit(5)"]
    assert subprocess.run(command, env=environment(tmp_path, "0"), check=False).returncode == 5


@pytest.mark.parametrize("config", ["default", "paper"])
def test_every_job_states_memory_runtime_and_disk_or_runs_at_home(config: str, tmp_path: Path) -> None:
    ran = snakemake("all", "ablation_n", "-n", "--configfile", f"workflow/config/{config}.yaml",
                    "--config", f"results={tmp_path}/r")  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    parts = re.split(r"^ *rule (\w+):$", ran.stdout + ran.stderr, flags=re.M)[1:]
    jobs = list(zip(parts[::2], parts[1::2], strict=True))
    jobs = [(re.sub(r"_\d+$", "", name), told) for name, told in jobs]
    assert {"generate", "views", "scores", "table1"} <= {name for name, _ in jobs}
    stated = ("mem_mb", "runtime", "disk_mb")
    assert {name for name, told in jobs if not all(f" {word}=" in told for word in stated)} <= AT_HOME


def test_a_retry_asks_for_more_memory_and_time(tmp_path: Path) -> None:
    config = {
        "results": f"{tmp_path}/r",
        "prompts": "prompts/smoke.tsv",
        "methods": ["sds"],
        "overrides": ["prior.sha256=abc"],
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    target = f"{tmp_path}/r/assets/sds/p01/0/asset.ply"
    command = [sys.executable, "-m", "snakemake", target, "-p", "--cores", "1", "--retries", "1",
               "--configfile", f"{tmp_path}/config.yaml"]  # fmt: skip
    env = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    ran = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    memory = [int(n) for n in re.findall(r"resources:.*?mem_mb=(\d+)", ran.stderr)]
    runtime = [int(n) for n in re.findall(r"resources:.*?runtime=(\d+)", ran.stderr)]
    assert ran.returncode != 0 and len(memory) == 2, ran.stderr
    assert memory[1] == 2 * memory[0] and runtime[1] == 2 * runtime[0]


@pytest.mark.parametrize("profile", ["default", "slurm", "paper"])
def test_a_profile_explains_every_setting_and_plans_the_run(profile: str, tmp_path: Path) -> None:
    folder = (ROOT / "profiles" if profile == "default" else PROFILES) / profile
    lines = (folder / "profile.yaml").read_text().splitlines()
    for above, line in zip(["", *lines], lines, strict=False):
        if re.match(r" *[a-z-]+: ", line) and not line.startswith(("executor", "cores: all", "configfile")):
            assert "#" in line or above.startswith("#"), line
    extra = ["--config", f"results={tmp_path}/r"]
    named = ["--cores", "2"] if profile == "default" else ["--workflow-profile", str(folder)]
    command = [sys.executable, "-m", "snakemake", "-n", "--quiet", "rules", *named, *extra]
    if profile == "slurm":
        pytest.importorskip("snakemake_executor_plugin_slurm")
        if not any((Path(p) / "sbatch").exists() for p in os.environ["PATH"].split(os.pathsep)):
            pytest.skip("no sbatch on this machine")
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert f"profile {folder if named[0] != '--cores' else 'profiles/default'} " in ran.stderr
    assert planned(ran.stdout + ran.stderr)["generate"] == (40 if profile == "paper" else 10)


def test_the_same_table_is_told_from_another() -> None:
    one = pd.DataFrame({"method": ["sds"], "clip": [1.0], "seconds": [3.0]})
    assert differences(one, one.assign(seconds=9.0)) == []
    assert differences(one, one.assign(clip=1.5)) == ["clip"]
    assert differences(one, pd.concat([one, one])) != []


@pytest.mark.slow
def test_the_slurm_profile_finds_the_table_of_the_local_run() -> None:
    env = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    script = str(ROOT / "tests/slurm/test_slurm")
    ran = subprocess.run([script], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    if ran.returncode == 77:
        pytest.skip(ran.stderr.strip().splitlines()[-1])
    assert ran.returncode == 0 and "the same table" in ran.stdout, ran.stdout + ran.stderr
