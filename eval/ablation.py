"""The table of one ablation: for each variant its level and how much it differs from the official one.

    python -m eval.ablation --results results/mini --name n --prompts p01 p03 p06 --seeds 2

reads scores, costs, training logs and records of every variant; controls (start, truth) are rows for
reference. A difference is paired: within prompts, so that what prompts differ by is not in its interval.
Beside the table stand the values that it averages, ablation_NAME_per_prompt.csv.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd

from segmentdreamer.command import Identities, Program, Results, Selection, Titles, inputs, settings
from segmentdreamer.recipe.settings import read_yaml
from segmentdreamer.records import write_table, write_text

from .guidance import NOTE, Guidance, from_columns, tell_each
from .metrics import METRICS, control_title, heading, read_titles
from .run import read_run
from .statistics.intervals import KIND, SMALLEST_SAMPLE, mean_interval, prompt_means
from .tables.formats import NOTHING, grid, quote
from .variants import (
    describe,
    fields_of,
    in_words,
    method_of,
    official_variants,
    plain,
    read_ablation,
    variants,
)

SPACES = Path("workflow/config/ablations.yaml")
COLUMNS = Path(__file__).parent / "ablation_metrics.yaml"
FIGURES = ("level", "difference", "low", "high", "n")


@cache
def ablation_columns() -> dict[str, dict[str, Any]]:
    """What each metric is called and how it is printed, in the order of the table."""
    shared, own = (read_yaml(path) for path in (METRICS, COLUMNS))
    return {metric: spec or shared[metric] for metric, spec in own.items()}


def tabulate(
    values: pd.DataFrame, against: Mapping[str, str], texts: Mapping[str, str], found: Mapping[str, Guidance]
) -> pd.DataFrame:
    """One row a variant or control and metric, with what the variant is and its FIGURES (see figures_of).

    values: method (a variant's name or a control), prompt, metric, value; against: variant -> the official
    one it is compared with; texts: variant -> label; found: variant -> guidance.
    """
    fields = dict.fromkeys(field for name in against for field in fields_of(name))
    wide = values.pivot(index="prompt", columns=["metric", "method"], values="value")
    rows = []
    for name in dict.fromkeys([*against, *values["method"]]):
        stated = fields_of(name)
        known = {
            "variant": name,
            "label": texts.get(name) or control_title(name),
            "method": method_of(name),
            "official": against.get(name, ""),
        }
        known |= found.get(name, Guidance()).columns()
        known |= {field: plain(stated[field]) if field in stated else "" for field in fields}
        for metric in ablation_columns():
            if (metric, name) in wide:
                figures = figures_of(pd.DataFrame(wide[metric]), name, known["official"])
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
    shown = [] if np.isnan(difference) else [signed(difference, digits)]
    shown += [] if np.isnan(low) else [f"[{signed(low, digits)}, {signed(high, digits)}]"]
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
    others = [fields_of(name) for name in table["variant"].unique()]
    shared = {
        field: in_words(field, plain(value))
        for field, value in stated[0].items()
        if all(field in own and own[field] == value for own in stated)
    }
    telling = [text for field, text in shared.items() if len({str(own.get(field)) for own in others}) > 1]
    return f"the same method at {', '.join(telling or shared.values()) or 'its official setting'}"


def signed(value: float, digits: int) -> str:
    """A difference with its sign, as it is printed; none on zero."""
    text = f"{value:+.{digits}f}"
    return text if float(text) else text[1:]


def tabulate_ablation(
    results: Results,
    name: Annotated[str, inputs("an ablation of --spaces")],
    prompts: Annotated[list[str], inputs("their ids", metavar="ID...")],
    spaces: Annotated[Path, inputs("YAML")] = SPACES,
    seeds: Annotated[int, inputs("of each variant and prompt")] = 1,
    controls: Annotated[list[str] | None, inputs("rows for reference, of seed 0", metavar="NAME...")] = None,
    scale: Annotated[str, settings("printed in the caption")] = "mini",
    titles: Titles = None,
    selection: Selection = "",
    identities: Identities = None,
) -> None:
    """Assemble the table of an ablation."""
    ablation = read_ablation(spaces, name)
    chosen = variants(ablation)
    against = official_variants(chosen, ablation.get("official", []))
    run = read_run(results, against, controls or [], prompts, seeds, identities or [])
    control = run.scores["method"].isin(run.controls)
    values = prompt_means(run.scores[~control | (run.scores["seed"] == 0)])
    table = tabulate(values, against, describe(chosen, read_titles(titles)), run.guidance)
    out = results / "tables" / selection
    top = caption(table, ablation["title"], scale, prompts, seeds)
    write_text(out / f"ablation_{name}.md", f"{top}\n\n{grid(*readable(table))}\n")
    for ending, frame in {"": table, "_per_prompt": values.rename(columns={"method": "variant"})}.items():
        write_table(out / f"ablation_{name}{ending}.csv", frame)


main = Program(tabulate_ablation)

if __name__ == "__main__":
    main()
