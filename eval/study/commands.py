r"""A ranking study of 360-degree videos: hand out, collect, analyze (the paper's Q1 to Q3).

    python -m eval.study assign --results results/mini --prompts prompts/toybox.tsv \
        --methods sds ism cds gcs sctd --out study
    python -m eval.study collect --study study --answers answers/*.csv --out ranks.csv
    python -m eval.study analyse --ranks ranks.csv --out study.csv

`simulate` makes a key with answers that nobody gave, to rehearse or to plan: all that follows says so.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from segmentdreamer.command import Program, Prompts, inputs, outputs, settings

from ..prompt_table import read_prompts
from . import assignment, simulation
from .analysis import RESAMPLES, analyze, prompt_ranks
from .answers import RANKS, USUAL, read_key
from .answers import collect as gather
from .checks import check_volunteers, tell_checks, without_failures
from .identity import RANK, Identity, identify, read_table
from .kit import showable_prompts, write_kit

Methods = Annotated[list[str], inputs("methods to rank", metavar="METHOD...")]
Study = Annotated[Path, outputs("folder of the study")]


def assign(
    results: Annotated[Path, inputs("e.g. results/mini")],
    prompts: Prompts,
    methods: Methods,
    out: Study,
    volunteers: Annotated[int, settings("pages to make", min=1)] = 40,
    groups: Annotated[int, settings("groups that a volunteer ranks", min=1)] = 8,
    seeds: Annotated[int, settings("asset seeds 0, 1, ... that take turns", min=1)] = 1,
    shuffle_seed: Annotated[int, settings("seed of plan and names; keep yours secret")] = 0,
    checks: Annotated[bool, settings("add a check of attention and a group that comes again")] = True,
) -> None:
    """Make pages, videos and key."""
    texts = dict(read_prompts(prompts)[["id", "prompt"]].to_numpy())
    shown, left_out = showable_prompts(results, methods, list(texts), seeds)
    for prompt, reason in left_out.items():
        print(f"note: {prompt} is left out, {reason}", file=sys.stderr)
    if not shown:
        raise ValueError("no prompt of which every method has an asset")
    key = assignment.assign(shown, methods, volunteers, groups, seeds, shuffle_seed)
    key = assignment.add_checks(key, shuffle_seed) if checks else key
    if groups > len(shown) * seeds:
        print(f"note: {groups} groups from {len(shown)} prompts: videos come again", file=sys.stderr)
    write_kit(key, texts, results, out)
    print(f"hand out {out / 'handout'} ({volunteers} pages); keep {out / 'key.csv'} secret")


def simulate(
    prompts: Prompts,
    methods: Methods,
    out: Study,
    worths: Annotated[
        list[str] | None, settings("chances to be first; else 1", metavar="METHOD=WORTH...")
    ] = None,
    volunteers: Annotated[int, settings("simulated volunteers", min=1)] = 40,
    groups: Annotated[int, settings("groups that each ranks", min=1)] = 8,
    seed: Annotated[int, settings("of plan and answers")] = 0,
) -> None:
    """Make a key with answers that nobody gave, to rehearse or to plan: all that follows says so."""
    chances = simulation.parse_worths(worths or [], methods)
    simulation.simulate(read_prompts(prompts)["id"].tolist(), chances, volunteers, groups, seed, out)
    print(f"simulated: {out / 'key.csv'} and {out / 'answers'} ({volunteers} files)")


def collect(
    study: Annotated[Path, inputs("folder of the study, with key.csv")],
    answers: Annotated[list[Path], inputs("CSVs from the volunteers", metavar="FILE...")],
    out: Annotated[Path, outputs("CSV of unblinded ranks")],
) -> None:
    """Check and unblind answers."""
    ranks = gather(study, answers)
    out.parent.mkdir(parents=True, exist_ok=True)
    ranks.to_csv(out, index=False)
    mine, all_ = (
        Identity.of(table[table["kind"] == RANK], where)
        for table, where in ((ranks, out), (read_key(study), study))
    )
    print(
        f"study {mine.study}, {mine.source}: {mine.rankings} of {all_.rankings} groups ranked, by "
        f"{mine.volunteers} of {all_.volunteers} volunteers"
    )


def analyse(
    ranks: Annotated[Path, inputs("CSV from collect")],
    out: Annotated[Path, outputs("CSV; more are written beside it")],
    resamples: Annotated[int, settings("bootstrap resamples", min=1)] = RESAMPLES,
) -> None:
    """Mean ranks, agreement, worths, what the checks say and what leaving out who failed changes."""
    answers = read_table(ranks, RANKS, USUAL)
    whose = Identity.of(answers[answers["kind"] == RANK], ranks)
    try:
        answers = answers.astype({"rank": int})
    except ValueError as error:
        raise ValueError(f"{ranks}: a rank is not a number") from error
    table = answers[answers["kind"] == RANK]
    checked = check_volunteers(answers)
    change = without_failures(table, {*checked.loc[checked["failed"] == 1, "volunteer"]})
    tables = analyze(table, resamples=resamples) | {"prompts": prompt_ranks(table)}
    tables |= {"checks": checked, "excluding": change}
    out.parent.mkdir(parents=True, exist_ok=True)
    for ending, found in tables.items():
        path = out.with_stem("_".join(filter(None, [out.stem, ending])))
        identify(found, whose).to_csv(path, index=False, float_format="%.6g")
    print(f"{whose}; mean ranks, 1 is best")
    print(told + "\n" if (told := tell_checks(checked, change)) else "", end="")
    print(tables[""].pivot(index="method", columns="question", values="mean").round(2).to_string())


main = Program(assign, simulate, collect, analyse, analyze=analyse)
