"""Shared by all tests: the torchvision guard, quiet threads, small networks with known weights."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")

import segmentdreamer.torchvision_guard  # noqa: F401

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _fresh_global_generator() -> None:
    torch.manual_seed(0)
