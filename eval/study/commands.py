"""A ranking study of 360-degree videos: hand out, collect, analyze (the paper's Q1 to Q3).

    python -m eval.study assign --results results/mini --prompts prompts/toybox.tsv \\
        --methods sds ism cds gcs sctd --out study
    python -m eval.study collect --study study --answers answers/*.csv --out ranks.csv
    python -m eval.study analyse --ranks ranks.csv --out study.csv

`simulate` makes a key with answers that nobody gave, to rehearse or to plan: all that follows says so.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd

from ..prompt_table import read_prompts
from .analysis import RESAMPLES, analyze, prompt_ranks
from .answers import RANKS, collect, read_key
from .assignment import assign
from .identity import Identity, identify, read_table
from .kit import showable_prompts, write_kit
from .simulation import parse_worths, simulate


def run_assign(args: argparse.Namespace) -> None:
    table = read_prompts(args.prompts)
    prompts, left_out = showable_prompts(args.results, args.methods, table["id"].tolist(), args.seeds)
    for prompt, reason in left_out.items():
        print(f"note: {prompt} is left out, {reason}", file=sys.stderr)
    if not prompts:
        raise ValueError("no prompt of which every method has an asset")
    key = assign(prompts, args.methods, args.volunteers, args.groups, args.seeds, args.shuffle_seed)
    if args.groups > len(prompts) * args.seeds:
        print(f"note: {args.groups} groups from {len(prompts)} prompts: volunteers see videos again",
              file=sys.stderr)  # fmt: skip
    texts = dict(zip(table["id"], table["prompt"], strict=True))
    write_kit(key, texts, args.results, args.out)
    print(f"hand out {args.out / 'handout'} ({args.volunteers} pages); keep {args.out / 'key.csv'} secret")


def run_simulate(args: argparse.Namespace) -> None:
    prompts = read_prompts(args.prompts)["id"].tolist()
    worths = parse_worths(args.worths, args.methods)
    simulate(prompts, worths, args.volunteers, args.groups, args.seed, args.out)
    print(f"simulated: {args.out / 'key.csv'} and {args.out / 'answers'} ({args.volunteers} files)")


def run_collect(args: argparse.Namespace) -> None:
    ranks = collect(args.study, args.answers)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    ranks.to_csv(args.out, index=False)
    key = read_key(args.study)
    groups = [len(table[["volunteer", "group"]].drop_duplicates()) for table in (ranks, key)]
    people = [table["volunteer"].nunique() for table in (ranks, key)]
    study, source = ranks[["study", "source"]].iloc[0]
    print(f"study {study}, {source}: {groups[0]} of {groups[1]} groups ranked, by {people[0]} of {people[1]} "
          "volunteers")  # fmt: skip


def run_analyse(args: argparse.Namespace) -> None:
    ranks = read_table(args.ranks, RANKS)
    whose = Identity.of(ranks, args.ranks)
    try:
        ranks = ranks.astype({"rank": int})
    except ValueError as error:
        raise ValueError(f"{args.ranks}: a rank is not a number") from error
    tables = analyze(ranks, resamples=args.resamples) | {"prompts": prompt_ranks(ranks)}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    for ending, table in tables.items():
        path = args.out.with_stem("_".join(filter(None, [args.out.stem, ending])))
        identify(table, whose).to_csv(path, index=False, float_format="%.6g")
    print(f"{whose}; mean ranks, 1 is best")
    print(tables[""].pivot(index="method", columns="question", values="mean").round(2).to_string())


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    show = argparse.ArgumentDefaultsHelpFormatter
    parser = argparse.ArgumentParser(description="Run a blinded ranking study of a run's videos.")
    commands = parser.add_subparsers(dest="command", required=True)
    add = commands.add_parser("assign", help="make pages, videos and key", formatter_class=show)
    add.add_argument("--results", type=Path, required=True, help="e.g. results/mini")
    add.add_argument("--prompts", type=Path, required=True, help="the prompt table (TSV)")
    add.add_argument("--methods", nargs="+", required=True, help="methods to rank")
    add.add_argument("--volunteers", type=int, default=40, help="pages to make")
    add.add_argument("--groups", type=int, default=8, help="groups that a volunteer ranks")
    add.add_argument("--seeds", type=int, default=1, help="asset seeds 0, 1, ... that take turns")
    add.add_argument("--shuffle-seed", type=int, default=0, help="seed of plan and names; keep yours secret")
    add.add_argument("--out", type=Path, required=True, help="folder of the study")
    add.set_defaults(run=run_assign)
    pretend = commands.add_parser("simulate", help="a key with answers nobody gave", formatter_class=show)
    pretend.add_argument("--prompts", type=Path, required=True, help="the prompt table (TSV)")
    pretend.add_argument("--methods", nargs="+", required=True, help="methods to rank")
    pretend.add_argument("--worths", nargs="*", default=[], help="METHOD=WORTH, chances to be first; else 1")
    pretend.add_argument("--volunteers", type=int, default=40, help="simulated volunteers")
    pretend.add_argument("--groups", type=int, default=8, help="groups that each ranks")
    pretend.add_argument("--seed", type=int, default=0, help="seed of plan and answers")
    pretend.add_argument("--out", type=Path, required=True, help="folder of the study")
    pretend.set_defaults(run=run_simulate)
    gather = commands.add_parser("collect", help="check and unblind answers", formatter_class=show)
    gather.add_argument("--study", type=Path, required=True, help="folder of the study, with key.csv")
    gather.add_argument("--answers", type=Path, nargs="+", required=True, help="CSVs from the volunteers")
    gather.add_argument("--out", type=Path, required=True, help="CSV of unblinded ranks")
    gather.set_defaults(run=run_collect)
    judge = commands.add_parser("analyse", aliases=["analyze"], formatter_class=show,
                                help="mean ranks, agreement, worths")  # fmt: skip
    judge.add_argument("--ranks", type=Path, required=True, help="CSV from collect")
    judge.add_argument("--resamples", type=int, default=RESAMPLES, help="bootstrap resamples")
    judge.add_argument("--out", type=Path, required=True, help="CSV; more are written beside it")
    judge.set_defaults(run=run_analyse)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse_arguments(argv)
    try:
        args.run(args)
    except (ValueError, FileNotFoundError, FileExistsError, pd.errors.ParserError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
