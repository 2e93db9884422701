"""The table of one ablation: for each variant its means with intervals over prompts, in csv and md.

    python -m eval.ablation --results results/mini --name n --prompts p01 p03 p06 --seeds 2

reads scores, costs and training logs of every variant; controls (start, truth) are rows for reference.
Beside the table stand the values that it averages, ablation_NAME_per_prompt.csv.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from eval.collection import check_protocols, path_of, read_cost, read_protocol, read_scores
from eval.columns import CONTROL_TITLES, METRICS, heading, read_titles
from eval.formats import NOTHING, grid
from eval.statistics import KIND, mean_intervals, prompt_means
from eval.variants import Variant, describe, fields_of, method_of, plain, read_ablation, variants

SPACES = Path("workflow/config/ablations.yaml")
COLUMNS = Path(__file__).parent / "ablation_metrics.yaml"
LOGGED = ("collapsed", "one_step")  # columns of train.csv whose mean over the steps is a share


@cache
def columns() -> dict[str, dict[str, Any]]:
    """What each metric is called and how it is printed, in the order of the table."""
    shared, own = (yaml.safe_load(path.read_text()) for path in (METRICS, COLUMNS))
    return {metric: spec or shared[metric] for metric, spec in own.items()}


def read_run(folder: Path) -> dict[str, float]:
    """What one optimization cost, and the shares that its log tells; a control has neither."""
    values = read_cost(folder)
    if (folder / "train.csv").exists():
        log = pd.read_csv(folder / "train.csv")
        values |= {name: float(log[name].mean()) for name in LOGGED if name in log}
    return values


def read_asset(results: Path, name: str, prompt: str, seed: int) -> pd.DataFrame:
    """Everything known of one asset as rows: method, prompt, seed, view, metric, value."""
    where = path_of(name, prompt, seed)
    scores = read_scores(results / "scores" / where)
    run = read_run(results / "assets" / where)
    extra = pd.DataFrame([(0, metric, value) for metric, value in run.items()], columns=scores.columns)
    return pd.concat([scores, extra]).assign(method=name, prompt=prompt, seed=seed)


def collect(results: Path, names: list[str], prompts: list[str], seeds: int) -> pd.DataFrame:
    """All assets of these variants or methods in one long table (see read_asset).

    Raises FileNotFoundError for a missing file of scores, ValueError if two follow different protocols.
    """
    keys = [(name, prompt, seed) for name in names for prompt in prompts for seed in range(seeds)]
    records = [(key, read_protocol(results / "scores" / path_of(*key))) for key in keys]
    check_protocols(results, [(key, record) for key, record in records if record["status"] == "ok"])
    return pd.concat([read_asset(results, *key) for key in keys], ignore_index=True)


def tabulate(summary: pd.DataFrame, chosen: list[Variant], texts: dict[str, str]) -> pd.DataFrame:
    """One row a variant and metric: variant, label, method, each field, metric, mean, low, high, prompts.

    summary: columns method (the variant's name or a control), metric, mean, low, high, prompts.
    """
    fields = list(dict.fromkeys(field for variant in chosen for field in variant.fields))
    names = list(dict.fromkeys([*texts, *summary["method"]]))
    metrics = list(columns())
    rows = []
    for row in summary[summary["metric"].isin(metrics)].to_dict("records"):
        name = str(row.pop("method"))
        stated = fields_of(name)
        rows.append(
            {
                "variant": name,
                "label": texts.get(name) or CONTROL_TITLES.get(name, name),
                "method": method_of(name),
                **{field: plain(stated[field]) if field in stated else "" for field in fields},
                **{str(key): value for key, value in row.items()},
            }
        )
    rows.sort(key=lambda row: (names.index(row["variant"]), metrics.index(row["metric"])))
    return pd.DataFrame(rows)


def read_table(path: Path) -> pd.DataFrame:
    """A table that was written as CSV: hyper-parameters as text, empty for controls, figures as numbers."""
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    figures = ["mean", "low", "high", "prompts"]
    return table.assign(**{name: pd.to_numeric(table[name]) for name in figures})


def shown_columns(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """The columns for which any variant or control has a value."""
    present = set(table.loc[table["mean"].notna(), "metric"])
    return {metric: spec for metric, spec in columns().items() if metric in present}


def cell(figures: Mapping[Any, Any], digits: int) -> str:
    """`mean [low, high]`, the interval where there is one; a dash where there is no value."""
    mean, low, high = (float(figures[name]) for name in ("mean", "low", "high"))
    if np.isnan(mean):
        return NOTHING
    return f"{mean:.{digits}f}" + ("" if np.isnan(low) else f" [{low:.{digits}f}, {high:.{digits}f}]")


def readable(table: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Header and body as text, a row for each variant and control; metrics that none has are left out."""
    shown = shown_columns(table)
    header = ["Variant", *map(heading, shown.values())]
    body = []
    for _, group in table.groupby("variant", sort=False):
        known = {figures["metric"]: figures for figures in group.to_dict("records")}
        cells = [cell(known[m], spec["digits"]) if m in known else NOTHING for m, spec in shown.items()]
        body.append([" ".join(group["label"].iloc[0].split()), *cells])
    return header, body


def caption(table: pd.DataFrame, title: str, scale: str, prompts: list[str], seeds: int) -> str:
    notes = "; ".join(f"{spec['name']}: {spec['note']}" for spec in shown_columns(table).values())
    return (
        f"{title}. Scale `{scale}`, prompts {', '.join(prompts)}, {seeds} seed(s). Mean over prompts with "
        f"95 % intervals ({KIND}; none below five prompts).\n\n{notes}."
    )


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Assemble the table of an ablation.")
    parser.add_argument("--results", type=Path, required=True, help="e.g. results/mini")
    parser.add_argument("--name", required=True, help="an ablation of --spaces")
    parser.add_argument("--spaces", type=Path, default=SPACES, help=f"YAML (default: {SPACES})")
    parser.add_argument("--prompts", nargs="+", required=True, help="ids")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--controls", nargs="*", default=[], help="rows for reference, of seed 0")
    parser.add_argument("--scale", default="mini", help="printed in the caption")
    parser.add_argument("--titles", type=Path, help="YAML: method -> {title}")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse_arguments(argv)
    try:
        ablation = read_ablation(args.spaces, args.name)
        chosen = variants(ablation)
        scores = collect(args.results, [v.name for v in chosen], args.prompts, args.seeds)
        if args.controls:
            scores = pd.concat([scores, collect(args.results, args.controls, args.prompts, 1)])
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f"error: {error}")
    texts = describe(chosen, read_titles(args.titles))
    table = tabulate(mean_intervals(scores), chosen, texts)
    out = args.results / "tables"
    out.mkdir(parents=True, exist_ok=True)
    top = caption(table, ablation["title"], args.scale, args.prompts, args.seeds)
    (out / f"ablation_{args.name}.md").write_text(f"{top}\n\n{grid(*readable(table))}\n", encoding="utf-8")
    table.to_csv(out / f"ablation_{args.name}.csv", index=False, float_format="%.6g")
    values = prompt_means(scores).rename(columns={"method": "variant"})
    values.to_csv(out / f"ablation_{args.name}_per_prompt.csv", index=False, float_format="%.6g")


if __name__ == "__main__":
    main()
