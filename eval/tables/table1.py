r"""Table 1: a row a method, in csv, md, tex and html, with its intervals, ranks and tests.

    python -m eval.tables --results results/mini --prompts prompts/toybox.tsv --methods sds sctd \
        --controls truth start --scale mini --titles baselines/methods.yaml --paper baselines/paper.yaml

writes into RESULTS/tables: table1 and table1_extended, and the long tables behind them (summary, comparisons,
variance, per_prompt, paper_order), and by_category where the prompt table divides its prompts; table1.json
says what was measured, for the ledger and the figures.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd

from segmentdreamer.command import Identities, Program, Results, Selection, Titles, inputs, settings
from segmentdreamer.records import write_json

from ..guidance import Guidance, tell_each
from ..metrics import columns, primary_method, read_titles
from ..prompt_table import categories, read_prompts
from ..reference.origin import check_drawn
from ..run import Run, read_run
from ..study.identity import IDENTITY
from ..study.result import read_study
from .analysis import Analysis, analyze, shown_metrics
from .caption import caption
from .categories import category_tables, summarize_categories
from .formats import grid, markdown, quote
from .latex import latex
from .layout import Setting, build_table
from .page import ORDER_HEADER, order_rows, order_text, page, sections
from .paper import SCALE, compare_orders, paper_values, read_paper
from .pooled import prompt_distances
from .variance import variance_table

PARTS = {
    part: f"_{part}"
    for part in ("mean", "low", "high", "n", "rank", "first", "letters", "difference", "difference_low",
                 "difference_high", "p", "holm")
} | {"mean": "", "first": "_p_first", "p": "_p_value", "holm": "_p_holm"}  # fmt: skip


def wide(analysis: Analysis, run: Run, setting: Setting, metrics: list[str]) -> pd.DataFrame:
    """One row a method or control: scale, method, title, guidance (4), failed, and of each metric the PARTS.

    Besides, METRIC_floor, the mean with failures at the floor, where anything failed; METRIC_paper, the
    paper's value, at its own scale; METRIC_paper_rank at any.
    """
    table = analysis.summary.set_index(["method", "metric"]).to_dict("index")
    floor = analysis.floor.set_index(["method", "metric"])["mean"].to_dict()
    failures = run.failed()["method"].value_counts()
    nan = float("nan")
    rows = []
    for method in (*run.methods, *run.controls):
        row: dict[str, object] = {"scale": setting.scale, "method": method, "title": setting.title(method)}
        row |= run.guidance.get(method, Guidance()).columns()
        row["failed"] = int(failures.get(method, 0))
        if setting.study:
            row |= {key: getattr(setting.study, key) for key in (*IDENTITY, "volunteers", "rankings")}
        for metric in metrics:
            known = table.get((method, metric), {})
            row |= {metric + suffix: known.get(part, nan) for part, suffix in PARTS.items()}
            if floor:
                row[f"{metric}_floor"] = floor.get((method, metric), nan)
            ordered = pd.Series(paper_values(setting.paper, metric, order=True), dtype=float)
            if len(ordered):
                ranks = ordered.rank(ascending=columns()[metric]["better"] == "down")
                row[f"{metric}_paper_rank"] = ranks.get(method, nan)
            theirs = paper_values(setting.paper, metric)
            if theirs and setting.scale == SCALE:
                row[f"{metric}_paper"] = theirs.get(method, nan)
        rows.append(row)
    return pd.DataFrame(rows)


def write_all(analysis: Analysis, run: Run, setting: Setting, out: Path) -> None:
    """Every file of the table."""
    out.mkdir(parents=True, exist_ok=True)
    usual = [metric for metric in columns() if metric in {*analysis.primary, *analysis.saturated}]
    orders = compare_orders(analysis.summary, setting.paper, usual, run.methods)
    present = shown_metrics(analysis.summary, run.methods)
    every = [metric for metric in columns() if metric in present]
    top = caption(analysis, run, setting)
    table = build_table(analysis, run, setting, analysis.primary, "Table 1", top)
    extended = build_table(analysis, run, setting, every, "Table 1, all metrics", top)
    ranked = f"\n{quote(order_text(setting))}\n\n{grid(ORDER_HEADER, order_rows(orders, setting))}\n"
    beside = ranked if len(orders) else ""  # our order of the methods against the paper's
    by_category = summarize_categories(analysis, run, setting)
    divided = category_tables(by_category, analysis, setting)
    tables = {
        "table1": wide(analysis, run, setting, analysis.primary),
        "table1_extended": wide(analysis, run, setting, every),
        "summary": analysis.summary,
        "comparisons": analysis.comparisons,
        "variance": analysis.variance,
        "per_prompt": analysis.per_prompt,
        "paper_order": orders,
        **({"by_category": by_category} if divided else {}),
    }
    for name, frame in tables.items():
        frame.to_csv(out / f"{name}.csv", index=False, float_format="%.6g")
    (out / "table1.md").write_text(markdown(table) + beside, encoding="utf-8")
    (out / "table1_extended.md").write_text(markdown(extended), encoding="utf-8")
    split = variance_table(analysis.variance)
    (out / "variance.md").write_text(markdown(split), encoding="utf-8")
    (out / "table1.tex").write_text(latex(table), encoding="utf-8")
    if divided:
        (out / "by_category.md").write_text("\n".join(map(markdown, divided)), encoding="utf-8")
    below = sections(
        extended, split, orders, analysis, run, setting, os.path.relpath(run.results, out), divided
    )
    (out / "table1.html").write_text(page(table, below), encoding="utf-8")
    write_json(out / "table1.json", record(analysis, run, setting))


def record(analysis: Analysis, run: Run, setting: Setting) -> dict[str, object]:
    """What was measured, for the ledger and the figures."""
    return {
        "scale": setting.scale, "scorer": setting.scorer, "reference": setting.reference,
        "methods": {method: setting.title(method) for method in run.methods},
        "controls": {method: setting.title(method) for method in run.controls},
        "guidance": tell_each(run.guidance),
        "prompts": run.prompts, "complete": analysis.complete, "seeds": setting.seeds,
        "primary": analysis.primary, "confirmatory": analysis.confirmatory, "saturated": analysis.saturated,
        "power": analysis.power.astype(object).replace(np.inf, None).to_dict("records"), "device": run.device,
        "protocol_id": run.protocol_id, "protocols": run.protocols,
        "failed": run.failed().to_dict("records"),
        "study": setting.study and setting.study._asdict() | {"text": str(setting.study)},
    }  # fmt: skip


def tabulate(
    results: Results,
    prompts: Annotated[Path, inputs("the prompt table (TSV)")],
    methods: Annotated[list[str], inputs("rows that compete", metavar="NAME...")],
    scale: Annotated[str, settings("printed; `paper` shows the paper's figures")],
    selection: Selection = "",
    controls: Annotated[list[str] | None, inputs("rows below the rule", metavar="NAME...")] = None,
    seeds: Annotated[int, inputs("of each method and prompt")] = 1,
    scorer: Annotated[str, settings("printed")] = "toybox-clip",
    reference: Annotated[str, settings("tests are against it (default: sctd, or else the first)")] = "",
    titles: Titles = None,
    paper: Annotated[Path | None, inputs("YAML: method -> the paper's figures")] = None,
    study: Annotated[Path | None, inputs("study.csv of `python -m eval.study analyse`")] = None,
    identities: Identities = None,
    drawn: Annotated[str, inputs("the reference set that it must be of (eval.identity)")] = "",
) -> None:
    """Assemble Table 1 from the scores of a run."""
    table = read_prompts(prompts)
    ids = list(table["id"])
    run = read_run(results, methods, controls or [], ids, seeds, identities or [])
    check_drawn(results / "reference" / "features.npz", drawn)
    ranked = read_study(study, methods, ids) if study else None
    scores = pd.concat([run.scores, prompt_distances(run)], ignore_index=True)
    reference = reference or primary_method(methods)
    whose = ranked.whose if ranked else None
    setting = Setting(
        scale, scorer, seeds, reference, read_titles(titles), read_paper(paper), whose, categories(table)
    )
    write_all(analyze(run, scores, reference, ranked), run, setting, results / "tables" / selection)


main = Program(tabulate)
