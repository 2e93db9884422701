"""Table 1: one row a method, mean and confidence interval over prompts, in csv, md and tex.

    python -m eval.table --results results/mini --prompts prompts/toybox.tsv --methods sds sctd \\
        --controls start truth --seeds 1 --scale mini
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from eval.fid import jackknife_fid
from eval.prompts import read_prompts
from eval.statistics import bootstrap_interval, prompt_means

METRICS = Path(__file__).parent / "metrics.yaml"
CONTROL_TITLES = {"start": "start (0 steps)", "truth": "true scene (ceiling)"}


def asset_folders(args: argparse.Namespace, prompts: pd.DataFrame) -> pd.DataFrame:
    """Every asset of the run: method, prompt, seed."""
    return pd.DataFrame(
        [
            (m, p, s)
            for m in (*args.methods, *args.controls)
            for p in prompts["id"]
            for s in range(args.seeds)
        ],
        columns=["method", "prompt", "seed"],
    )


def read_scores(results: Path, assets: pd.DataFrame) -> pd.DataFrame:
    """All score files and costs as one long table: method, prompt, seed, view, metric, value."""
    frames = []
    for method, prompt, seed in assets.itertuples(index=False, name=None):
        where = f"{method}/{prompt}/{seed}"
        frame = pd.read_csv(results / "scores" / where / "scores.csv")
        cost = results / "assets" / where / "cost.json"
        if cost.exists() and method not in CONTROL_TITLES:
            figures = json.loads(cost.read_text())
            extra = pd.DataFrame({"view": 0, "metric": ["seconds", "nfe"],
                                  "value": [figures["seconds"], figures["nfe"]]})  # fmt: skip
            frame = pd.concat([frame, extra], ignore_index=True)
        frames.append(frame.assign(method=method, prompt=prompt, seed=seed))
    return pd.concat(frames, ignore_index=True)


def read_features(results: Path, assets: pd.DataFrame, method: str) -> list[np.ndarray]:
    """CLIP features of a method's views, one array a prompt (seeds pooled)."""
    mine = assets[assets["method"] == method]
    return [
        np.concatenate([
            np.load(results / f"scores/{method}/{prompt}/{seed}/features.npz")["clip"]
            for seed in rows["seed"]
        ])
        for prompt, rows in mine.groupby("prompt", sort=False)
    ]  # fmt: skip


def summarize(scores: pd.DataFrame) -> pd.DataFrame:
    """Mean and interval over prompts: columns method, metric, mean, low, high, prompts."""
    rows = []
    for (method, metric), group in prompt_means(scores).groupby(["method", "metric"], sort=False):
        values = group["value"].dropna().to_numpy()
        low, high = bootstrap_interval(values)
        mean = values.mean() if len(values) else float("nan")
        rows.append((method, metric, mean, low, high, len(values)))
    return pd.DataFrame(rows, columns=["method", "metric", "mean", "low", "high", "prompts"])


def summarize_fid(results: Path, assets: pd.DataFrame, prompts: pd.DataFrame) -> pd.DataFrame:
    stored = np.load(results / "reference" / "features.npz")
    reference = [stored[name] for name in prompts["id"]]
    rows = []
    for method in assets["method"].unique():
        value, error = jackknife_fid(read_features(results, assets, method), reference)
        rows.append((method, "fid", value, value - 1.96 * error, value + 1.96 * error, len(reference)))
    return pd.DataFrame(rows, columns=["method", "metric", "mean", "low", "high", "prompts"])


def wide(summary: pd.DataFrame, order: list[str], scale: str) -> pd.DataFrame:
    """One row a method; for each metric its mean, low and high."""
    rows = []
    for method in order:
        row: dict[str, object] = {"scale": scale, "method": method}
        mine = summary[summary["method"] == method].set_index("metric")
        for metric in columns():
            for part in ("mean", "low", "high"):
                row[metric if part == "mean" else f"{metric}_{part}"] = (
                    mine.loc[metric, part] if metric in mine.index else float("nan")
                )
        rows.append(row)
    return pd.DataFrame(rows)


def columns() -> dict[str, dict]:
    return yaml.safe_load(METRICS.read_text())


def cell(row: pd.Series, metric: str, digits: int) -> str:
    """`mean [low, high]`, or a dash where there is no value."""
    if np.isnan(row[metric]):
        return "–"
    text = f"{row[metric]:.{digits}f}"
    if not np.isnan(row[f"{metric}_low"]):
        text += f" [{row[f'{metric}_low']:.{digits}f}, {row[f'{metric}_high']:.{digits}f}]"
    return text


def grid(table: pd.DataFrame, titles: dict[str, str]) -> tuple[list[str], list[list[str]]]:
    """Header and body as text; metrics that no row has are left out."""
    shown = {m: spec for m, spec in columns().items() if table[m].notna().any()}
    arrows = {"up": "↑", "down": "↓"}
    header = ["Method", *(f"{spec['name']} {arrows[spec['better']]}" for spec in shown.values())]
    body = [
        [
            titles.get(row["method"], row["method"]),
            *(cell(row, m, s["digits"]) for m, s in shown.items()),
        ]
        for _, row in table.iterrows()
    ]
    return header, body


def markdown(header: list[str], body: list[list[str]], caption: str) -> str:
    lines = [header, ["---"] * len(header), *body]
    return caption + "\n\n" + "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def latex(header: list[str], body: list[list[str]], caption: str) -> str:
    """A booktabs table."""
    swap = {"↑": r"$\uparrow$", "↓": r"$\downarrow$", "–": "--", "_": r"\_", "%": r"\%"}

    def clean(text: str) -> str:
        for old, new in swap.items():
            text = text.replace(old, new)
        return text

    rows = [" & ".join(clean(c) for c in line) + r" \\" for line in (header, *body)]
    lines = [
        r"\begin{table}",
        rf"\caption{{{clean(caption)}}}",
        rf"\begin{{tabular}}{{l{'c' * (len(header) - 1)}}}",
        r"\toprule",
        rows[0],
        r"\midrule",
        *rows[1:],
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def caption(args: argparse.Namespace, prompts: int) -> str:
    return (
        f"Table 1, scale `{args.scale}`: {prompts} prompts, {args.seeds} seed(s). Text-image scorer: "
        f"{args.scorer}. Mean over prompts with 95 % intervals (BCa bootstrap over prompts; FID: "
        "jackknife). Figures of one scale are never compared with another's."
    )


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Assemble Table 1 from the scores of a run.")
    parser.add_argument("--results", type=Path, required=True, help="e.g. results/mini")
    parser.add_argument("--prompts", type=Path, required=True)
    parser.add_argument("--methods", nargs="+", required=True)
    parser.add_argument("--controls", nargs="*", default=[])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--scale", required=True)
    parser.add_argument("--scorer", default="toybox-clip")
    parser.add_argument("--titles", type=Path, help="YAML: method -> {title}")
    args = parser.parse_args(argv)
    try:
        prompts = read_prompts(args.prompts)
        assets = asset_folders(args, prompts)
        scores = read_scores(args.results, assets)
        summary = pd.concat([summarize(scores), summarize_fid(args.results, assets, prompts)])
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f"error: {error}")
    registered = yaml.safe_load(args.titles.read_text()) if args.titles else {}
    titles = CONTROL_TITLES | {name: spec["title"] for name, spec in registered.items()}
    table = wide(summary, [*args.methods, *args.controls], args.scale)
    header, body = grid(table, titles)
    out = args.results / "tables"
    out.mkdir(parents=True, exist_ok=True)
    prompt_means(scores).to_csv(out / "per_prompt.csv", index=False, float_format="%.6g")
    (out / "table1.md").write_text(markdown(header, body, caption(args, len(prompts))))
    (out / "table1.tex").write_text(latex(header, body, caption(args, len(prompts))))
    table.to_csv(out / "table1.csv", index=False, float_format="%.6g")


if __name__ == "__main__":
    main()
