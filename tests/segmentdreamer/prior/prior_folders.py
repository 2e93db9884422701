"""Shared by tests of priors: a short run with a prior of the test."""

from __future__ import annotations

from pathlib import Path

from segmentdreamer import generate


def generated(out: Path, *settings: str) -> None:
    settings = (*settings, "prior.sha256=''", "train.steps=4", "train.checkpoint_every=2")
    overrides = [part for setting in settings for part in ("--set", setting)]
    generate.main(["--prompt", "a duck", "--method", "sds", "--out", str(out), "--quiet", *overrides])
