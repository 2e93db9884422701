"""Plans again and again in one process: a line of arguments in, what Snakemake would make out.

What takes long, importing Snakemake and pandas, is done once; each plan is a fork, with our own modules.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import sys

import pandas  # noqa: F401
import snakemake.cli
import snakemake.utils

OURS = ("segmentdreamer", "eval", "identities", "batches", "progress", "selection", "with_gpu")


def plan(arguments: list[str]) -> dict[str, object]:
    """The outputs of all jobs of a dry run."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
        try:
            snakemake.cli.main(["-n", "--cores", "2", *arguments])
        except SystemExit as end:
            code = end.code
    lines = re.findall(r"^ +output: (.*)$", text.getvalue().replace(" (update)", ""), re.M)
    made = [path for line in lines for path in line.split(", ")]
    return {"code": code, "made": made, "text": text.getvalue()[-2000:] if code else ""}


def main() -> None:
    for line in sys.stdin:
        child = os.fork()
        if not child:
            assert not [name for name in sys.modules if name.split(".")[0] in OURS]
            os.write(1, (json.dumps(plan(json.loads(line))) + "\n").encode())
            os._exit(0)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
