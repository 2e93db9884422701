"""A method's row beside the published ones, each prompt by prompt's mean on the same prompts.

    snakemake --cores all try_method --config method=NAME

No interval and no test: whether a method differs from another is what Table 1 is for.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from segmentdreamer.command import Program, inputs

from .metrics import ARROWS, columns
from .run import read_run


def try_method(
    run: Annotated[Path, typer.Argument(help="folder of the run, e.g. results/mini")],
    published: Annotated[Path, typer.Argument(help="folder of the published one")],
    method: Annotated[str, inputs("whose row it is")],
    prompts: Annotated[list[str], inputs("ids of the prompt table", metavar="ID...")],
) -> None:
    """Print a method's means beside those of the published run."""
    own = read_run(run, [method], [], prompts, 1)
    record = json.loads((published / "table1.json").read_text("utf-8"))
    known = pd.read_csv(published / "per_prompt.csv")
    known = known[known["method"].isin(record["methods"]) & known["prompt"].isin(prompts)]
    print(table(own.scores, known, record["methods"], method))
    for failed in own.failed().itertuples():
        print(f"failed: {failed.prompt}: {failed.reason}")
    if known["prompt"].nunique() < len(prompts):
        print(f"the published run has {known['prompt'].nunique()} of these {len(prompts)} prompts")
    if own.protocol_id != record["protocol_id"]:
        print("the published run was scored by other protocols: compare nothing closely")


def table(scores: pd.DataFrame, known: pd.DataFrame, titles: dict[str, str], method: str) -> str:
    """Means over prompts, a row a method, those of Table 1's columns that are means, as text."""
    shown = {name: spec for name, spec in columns().items() if spec.get("primary") and not spec.get("pooled")}
    mine = scores.groupby(["method", "prompt", "metric"], as_index=False)["value"].mean()
    means = pd.concat([known[known["method"] != method], mine]).pivot_table("value", "method", "metric")
    means = means.loc[[*(name for name in titles if name in means.index and name != method), method]]
    shown = {name: spec for name, spec in shown.items() if name in mine["metric"].unique()}
    cells = {
        spec["name"] + ARROWS.get(spec.get("better", ""), ""): [
            "–" if pd.isna(value) else f"{value:.{spec['digits']}f}" for value in means[name]
        ]
        for name, spec in shown.items()
    }
    rows = [f"> {method}" if name == method else titles[name] for name in means.index]
    return pd.DataFrame(cells, index=rows).to_string()


main = Program(try_method)

if __name__ == "__main__":
    main()
