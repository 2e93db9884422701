"""Names of isolated environments: what a rule takes as input, and the python that it calls."""

import hashlib
import os
from pathlib import Path

ENVIRONMENTS = os.environ.get("SEGMENTDREAMER_ENVS", ".envs")


def python_of(name):
    return f"{ENVIRONMENTS}/{name}/bin/python"


def environment(name):
    """The marker of a finished environment, named by the digest of its list.

    Another list builds it anew and makes its users run again; when it was built matters not.
    """
    digest = hashlib.sha256(Path(f"workflow/envs/{name}.txt").read_bytes()).hexdigest()
    return ancient(f"{ENVIRONMENTS}/{name}/installed-{digest[:12]}.txt")
