"""What a study's checks say of its volunteers, and what leaving those out who failed would change.

Agreement with oneself is Kendall's tau between a group's ranking and that of the same videos shown again,
mean over the questions. The check of attention is passed by the order that its text asks for, in every
question.
"""

from __future__ import annotations

import pandas as pd
from scipy.stats import kendalltau

from .identity import CHECK, RANK, REPEAT

NAN = float("nan")


def check_volunteers(ranks: pd.DataFrame) -> pd.DataFrame:
    """volunteer, agreement (-1 to 1), attention, watched (share of videos, to the end), failed; 0 or 1 each.

    ranks: as `collect` writes them, ranks as numbers. NaN where a volunteer has no such group or record. Who
    presses what the check of attention does not ask for has failed.
    """
    rows = []
    for volunteer, mine in ranks.groupby("volunteer"):
        told = mine[mine["kind"] == CHECK]
        attention = float((told["rank"] + told["position"].astype(int) == told["rank"].max() + 1).all())
        watched = pd.to_numeric(mine.drop_duplicates(["group", "method"])["watched"], errors="coerce")
        rows.append((volunteer, agreement(mine), attention if len(told) else NAN, watched.mean()))
    table = pd.DataFrame(rows, columns=["volunteer", "agreement", "attention", "watched"])
    return table.assign(failed=(table["attention"] == 0).astype(int))


def agreement(mine: pd.DataFrame) -> float:
    """One volunteer's tau between the rankings of the group that came twice; NaN without one."""
    again = mine[mine["kind"] == REPEAT]
    first = mine[mine["kind"] == RANK].drop_duplicates(["prompt", "seed", "question", "method"])
    both = again.merge(first, on=["prompt", "seed", "question", "method"])
    taus = [kendalltau(rows["rank_x"], rows["rank_y"]).statistic for _, rows in both.groupby("question")]
    return float(sum(taus) / len(taus)) if taus else NAN


def without_failures(ranks: pd.DataFrame, failed: set[str]) -> pd.DataFrame:
    """question, method, mean (rank), mean_kept (without who failed), change; NaN if all failed."""
    kept = mean_rank(ranks[~ranks["volunteer"].isin(failed)]).rename("mean_kept")
    table = mean_rank(ranks).rename("mean").to_frame().join(kept).reset_index()
    return table.assign(change=table["mean_kept"] - table["mean"])


def mean_rank(ranks: pd.DataFrame) -> pd.Series:
    return ranks.groupby(["question", "method"])["rank"].mean()


def tell_checks(table: pd.DataFrame, change: pd.DataFrame) -> str:
    """The checks in one line; empty for a study without."""
    known = table.dropna(subset="attention")
    if known.empty:
        return ""
    failed, largest = int(known["failed"].sum()), change["change"].abs().max()
    told = f"checks: {len(known) - failed} of {len(known)} volunteers passed that of attention"
    told += f"; agreement with oneself {table['agreement'].median():.2f} (median tau)"
    told += (
        f"; {table['watched'].mean():.0%} of videos watched to the end"
        if table["watched"].notna().any()
        else ""
    )
    return told + (f"; without those who failed mean ranks change by up to {largest:.2f}" if failed else "")
