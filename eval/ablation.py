"""The table of one ablation: for each variant its level and how much it differs from the official one.

    python -m eval.ablation --results results/mini --name n --prompts p01 p03 p06 --seeds 2

reads scores, costs, training logs and records of every variant; controls (start, truth) are rows for
reference. A difference is paired: within prompts, so that what prompts differ by is not in its interval.
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

from .guidance import NOTE, Guidance, from_columns, tell_each
from .metrics import METRICS, control_title, heading, read_titles
from .run import read_run
from .statistics.intervals import KIND, SMALLEST_SAMPLE, mean_interval, prompt_means
from .tables.formats import NOTHING, grid, quote
from .variants import describe, fields_of, method_of, official_variants, plain, read_ablation, variants

SPACES = Path("workflow/config/ablations.yaml")
COLUMNS = Path(__file__).parent / "ablation_metrics.yaml"
FIGURES = ("level", "difference", "low", "high", "n")


@cache
def ablation_columns() -> dict[str, dict[str, Any]]:
    """What each metric is called and how it is printed, in the order of the table."""
    shared, own = (yaml.safe_load(path.read_text()) for path in (METRICS, COLUMNS))
    return {metric: spec or shared[metric] for metric, spec in own.items()}


def tabulate(
    values: pd.DataFrame, against: Mapping[str, str], texts: Mapping[str, str], found: Mapping[str, Guidance]
) -> pd.DataFrame:
    """One row a variant or control and metric, with what the variant is and its FIGURES (see figures_of).

    values: method (a variant's name or a control), prompt, metric, value; against: variant -> the official
    one it is compared with; texts: variant -> label; found: variant -> guidance.
    """
    fields = list(dict.fromkeys(field for name in against for field in fields_of(name)))
    tables = {
        metric: mine.pivot(index="prompt", columns="method", values="value")
        for metric, mine in values.groupby("metric")
    }
    rows = []
    for name in dict.fromkeys([*against, *values["method"]]):
        stated = fields_of(name)
        known = {
            "variant": name,
            "label": texts.get(name) or control_title(name),
            "method": method_of(name),
            "official": against.get(name, ""),
            **found.get(name, Guidance()).columns(),
            **{field: plain(stated[field]) if field in stated else "" for field in fields},
        }
        for metric in ablation_columns():
            if metric in tables and name in tables[metric]:
                figures = figures_of(tables[metric], name, known["official"])
                rows.append({**known, "metric": metric, **dict(zip(FIGURES, figures, strict=True))})
    return pd.DataFrame(rows)


def figures_of(table: pd.DataFrame, name: str, official: str) -> tuple[float, float, float, float, int]:
    """FIGURES of a variant: mean, mean difference to the official one with its 95 % interval, prompts paired.

    table: prompts x variants of one metric. Of the official one itself, of controls and of what has no prompt
    in common with it the level alone, and the prompts with a value.
    """
    own = table[name].dropna()
    if name != official and official in table:
        pairs = (own - table[official]).dropna().to_numpy()
        if len(pairs):
            return float(own.mean()), float(pairs.mean()), *mean_interval(pairs), len(pairs)
    nan = float("nan")
    return float(own.mean()), nan, nan, nan, len(own)


def read_table(path: Path) -> pd.DataFrame:
    """A table that was written as CSV: hyper-parameters as text, empty for controls, figures as numbers."""
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    return table.assign(**{name: pd.to_numeric(table[name]) for name in FIGURES})


def guidance_texts(table: pd.DataFrame) -> dict[str, str]:
    """variant -> its guidance as text."""
    rows = table.drop_duplicates("variant").to_dict("records")
    return tell_each({row["variant"]: from_columns(row) for row in rows})


def shown_columns(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """The columns for which any variant or control has a value."""
    present = set(table.loc[table["level"].notna(), "metric"])
    return {metric: spec for metric, spec in ablation_columns().items() if metric in present}


def cell(figures: Mapping[Any, Any], digits: int) -> str:
    """`level (difference [low, high])`, as far as there are any; a dash where there is no value."""
    level, difference, low, high = (float(figures[name]) for name in FIGURES[:4])
    if np.isnan(level):
        return NOTHING
    texts = [f"{signed(difference, digits)}", f"[{signed(low, digits)}, {signed(high, digits)}]"]
    shown = [text for text, value in zip(texts, (difference, low), strict=True) if not np.isnan(value)]
    return f"{level:.{digits}f}" + (f" ({' '.join(shown)})" if shown else "")


def readable(table: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Header and body as text, a row for each variant and control; metrics that none has are left out."""
    shown, guidance = shown_columns(table), guidance_texts(table)
    header = ["Variant", "Guidance", *map(heading, shown.values())]
    body = []
    for name, group in table.groupby("variant", sort=False):
        known = {figures["metric"]: figures for figures in group.to_dict("records")}
        cells = [cell(known[m], spec["digits"]) if m in known else NOTHING for m, spec in shown.items()]
        body.append([" ".join(group["label"].iloc[0].split()), guidance[str(name)], *cells])
    return header, body


def caption(table: pd.DataFrame, title: str, scale: str, prompts: list[str], seeds: int) -> str:
    """Markdown: scale, prompts, what differences are to, of which kind their intervals are, the columns."""
    notes = "; ".join(f"{spec['name']}: {spec['note']}" for spec in shown_columns(table).values())
    shown = (
        f"{title}. Scale {scale}, prompts {', '.join(prompts)}, {seeds} seed(s). Mean over prompts; in "
        f"parentheses the mean difference within prompts to {compared_with(table)}, and the 95 % interval of "
        f"these paired differences over prompts ({KIND}; none below {SMALLEST_SAMPLE} prompts or where all "
        "agree)."
    )
    return f"{quote(shown)}\n\n{quote(f'{notes}. {NOTE}.')}"


def compared_with(table: pd.DataFrame) -> str:
    """What the differences are to: the label of the official variant, or what those of all methods share."""
    rows = table[table["variant"] == table["official"]].drop_duplicates("variant")
    if len(rows) == 1:
        return " ".join(rows["label"].iloc[0].split())
    stated = [fields_of(name) for name in rows["variant"]]
    shared = [f"{field} = {plain(value)}" for field, value in stated[0].items()
              if all(field in own and own[field] == value for own in stated)]  # fmt: skip
    return f"the same method at {', '.join(shared) or 'its official setting'}"


def signed(value: float, digits: int) -> str:
    """A difference with its sign, as it is printed; none on zero."""
    text = f"{value:+.{digits}f}"
    return text if float(text) else text[1:]


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Assemble the table of an ablation.")
    parser.add_argument("--results", type=Path, required=True, help="e.g. results/mini")
    parser.add_argument("--selection", default="", metavar="NAME",
                        help="folder of RESULTS/tables to write to (default: that itself)")  # fmt: skip
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
        against = official_variants(chosen, ablation.get("official", []))
        run = read_run(args.results, against, args.controls, args.prompts, args.seeds)
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f"error: {error}")
    controls = run.scores["method"].isin(run.controls)
    values = prompt_means(run.scores[~controls | (run.scores["seed"] == 0)])
    table = tabulate(values, against, describe(chosen, read_titles(args.titles)), run.guidance)
    out = args.results / "tables" / args.selection
    out.mkdir(parents=True, exist_ok=True)
    top = caption(table, ablation["title"], args.scale, args.prompts, args.seeds)
    (out / f"ablation_{args.name}.md").write_text(f"{top}\n\n{grid(*readable(table))}\n", encoding="utf-8")
    table.to_csv(out / f"ablation_{args.name}.csv", index=False, float_format="%.6g")
    values.rename(columns={"method": "variant"}).to_csv(
        out / f"ablation_{args.name}_per_prompt.csv", index=False, float_format="%.6g"
    )


if __name__ == "__main__":
    main()
