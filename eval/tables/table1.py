r"""Table 1: a row a method, in csv, md, tex and html, with its intervals, ranks and tests.

    python -m eval.tables --results results/mini --prompts prompts/toybox.tsv --methods sds sctd \
        --controls truth start --scale mini --titles baselines/methods.yaml --paper baselines/paper.yaml

writes into RESULTS/tables: table1 and table1_extended, and the long tables behind them (summary, comparisons,
variance, per_prompt, paper_order); table1.json says what was measured, for the ledger and the figures.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import pandas as pd

from segmentdreamer.records import write_json

from ..guidance import Guidance, tell_each
from ..metrics import columns, primary_method, read_titles
from ..prompt_table import read_prompts
from ..run import Run, read_run
from ..study.identity import IDENTITY
from ..study.result import read_study
from .analysis import Analysis, analyze, shown_metrics
from .caption import caption
from .formats import grid, markdown, quote
from .latex import latex
from .layout import Setting, build_table
from .page import page
from .paper import SCALE, compare_orders, paper_values, read_paper
from .pooled import prompt_distances
from .sections import ORDER_HEADER, order_rows, order_text, sections

PARTS = {"mean": "", "low": "_low", "high": "_high", "n": "_n", "rank": "_rank", "first": "_p_first",
         "letters": "_letters",
         "difference": "_difference", "difference_low": "_difference_low",
         "difference_high": "_difference_high", "p": "_p_value", "holm": "_p_holm"}  # fmt: skip


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


def order_table(orders: pd.DataFrame, setting: Setting) -> str:
    """Our order of the methods against the paper's, as Markdown; nothing without a paper."""
    table = grid(ORDER_HEADER, order_rows(orders, setting))
    return f"\n{quote(order_text(setting))}\n\n{table}\n" if len(orders) else ""


def write_all(analysis: Analysis, run: Run, setting: Setting, out: Path) -> None:
    """Every file of the table."""
    out.mkdir(parents=True, exist_ok=True)
    orders = compare_orders(analysis.summary, setting.paper, analysis.primary, run.methods)
    present = shown_metrics(analysis.summary, run.methods)
    every = [metric for metric in columns() if metric in present]
    top = caption(analysis, run, setting)
    table = build_table(analysis, run, setting, analysis.primary, "Table 1", top)
    extended = build_table(analysis, run, setting, every, "Table 1, all metrics", top)
    tables = {
        "table1": wide(analysis, run, setting, analysis.primary),
        "table1_extended": wide(analysis, run, setting, every),
        "summary": analysis.summary, "comparisons": analysis.comparisons, "variance": analysis.variance,
        "per_prompt": analysis.per_prompt, "paper_order": orders,
    }  # fmt: skip
    for name, frame in tables.items():
        frame.to_csv(out / f"{name}.csv", index=False, float_format="%.6g")
    (out / "table1.md").write_text(markdown(table) + order_table(orders, setting), encoding="utf-8")
    (out / "table1_extended.md").write_text(markdown(extended), encoding="utf-8")
    (out / "table1.tex").write_text(latex(table), encoding="utf-8")
    below = sections(extended, orders, analysis, run, setting, os.path.relpath(run.results, out))
    document = page(table, below)
    (out / "table1.html").write_text(document, encoding="utf-8")
    write_json(out / "table1.json", record(analysis, run, setting))


def record(analysis: Analysis, run: Run, setting: Setting) -> dict[str, object]:
    """What was measured, for the ledger and the figures."""
    return {
        "scale": setting.scale, "scorer": setting.scorer, "reference": setting.reference,
        "methods": {method: setting.title(method) for method in run.methods},
        "controls": {method: setting.title(method) for method in run.controls},
        "guidance": tell_each(run.guidance),
        "prompts": run.prompts, "complete": analysis.complete, "seeds": setting.seeds,
        "primary": analysis.primary, "device": run.device,
        "protocol_id": run.protocol_id, "protocols": run.protocols,
        "failed": run.failed().to_dict("records"),
        "study": setting.study and setting.study._asdict() | {"text": str(setting.study)},
    }  # fmt: skip


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Assemble Table 1 from the scores of a run.")
    parser.add_argument("--results", type=Path, required=True, help="e.g. results/mini")
    parser.add_argument("--selection", default="", metavar="NAME",
                        help="folder of RESULTS/tables to write to (default: that itself)")  # fmt: skip
    parser.add_argument("--prompts", type=Path, required=True, help="the prompt table (TSV)")
    parser.add_argument("--methods", nargs="+", required=True, help="rows that compete")
    parser.add_argument("--controls", nargs="*", default=[], help="rows below the rule")
    parser.add_argument("--seeds", type=int, default=1, help="of each method and prompt (default: 1)")
    parser.add_argument("--scale", required=True, help="printed; `paper` shows the paper's figures")
    parser.add_argument("--scorer", default="toybox-clip", help="printed (default: toybox-clip)")
    parser.add_argument("--reference", help="tests are against it (default: sctd, or else the first)")
    parser.add_argument("--titles", type=Path, help="YAML: method -> {title}")
    parser.add_argument("--paper", type=Path, help="YAML: method -> the paper's figures")
    parser.add_argument("--study", type=Path, help="study.csv of `python -m eval.study analyse`")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse_arguments(argv)
    try:
        prompts = list(read_prompts(args.prompts)["id"])
        run = read_run(args.results, args.methods, args.controls, prompts, args.seeds)
        study = read_study(args.study, args.methods, prompts) if args.study else None
        scores = pd.concat([run.scores, prompt_distances(run)], ignore_index=True)
        titles, paper = read_titles(args.titles), read_paper(args.paper)
        reference = args.reference or primary_method(args.methods)
        whose = study.whose if study else None
        setting = Setting(args.scale, args.scorer, args.seeds, reference, titles, paper, whose)
        analysis = analyze(run, scores, reference, study)
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f"error: {error}")
    write_all(analysis, run, setting, args.results / "tables" / args.selection)


if __name__ == "__main__":
    main()
