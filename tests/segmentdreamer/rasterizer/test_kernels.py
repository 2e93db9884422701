"""gsplat's kernels: built by one process at a time, refused in a line where there is no compiler for them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
BUILD = """
import sys, time
from pathlib import Path
from segmentdreamer.rasterizer.cuda import alone
with alone(Path("lock")), open("log", "a") as log:
    print("in", file=log, flush=True)
    time.sleep(0.5)
    print("out", file=log, flush=True)
"""


def test_two_processes_do_not_build_at_once(tmp_path: Path) -> None:
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    builds = [subprocess.Popen([sys.executable, "-c", BUILD], cwd=tmp_path, env=env) for _ in range(2)]
    assert [build.wait() for build in builds] == [0, 0]
    assert (tmp_path / "log").read_text().split() == ["in", "out", "in", "out"]


def test_without_a_cuda_compiler_one_line_says_what_to_install(tmp_path: Path) -> None:
    code = "from segmentdreamer.rasterizer.cuda import build_kernels\n"
    code += "try: build_kernels()\nexcept ValueError as error: print(error)"
    missing = {"CUDA_HOME": str(tmp_path / "none"), "PATH": "", "TORCH_EXTENSIONS_DIR": str(tmp_path)}
    env = os.environ | missing | {"PYTHONPATH": str(ROOT)}
    ran = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert "gsplat's kernels need a CUDA compiler: install the CUDA toolkit" in ran.stdout.splitlines()[-1]
