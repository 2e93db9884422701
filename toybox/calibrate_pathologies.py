"""How well each pathology metric finds its defect, and when the Janus index may be read.

    python -m toybox.calibrate_pathologies [--assets results/mini/assets/*/p0?]

draws objects of all classes and colors, plants every defect in every strength (toybox.looks), scores the
views as any asset's, and writes toybox/models/pathologies.json and the tables of docs/protocols.md: ROC AUC
of metric against defect, the cross row of the Janus index, and what its gates keep, which are chosen on
one half of the objects and judged on the other and on finished assets. Healthy: true scenes and worn copies.
"""

import argparse
import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")

import numpy as np

from eval.scores.pathologies.consistency import gate
from eval.scores.pathologies.janus import FIRST, LEAST
from eval.tables.formats import Marked, grid
from segmentdreamer.records import write_json
from toybox.defects import DEFECTS, STRENGTHS
from toybox.evaluate_scorers import rounded
from toybox.looks import SPARSER, Values, draw_specs, halves, measure_asset, measure_object, scale
from toybox.scenes import Spec, all_specs

MODELS = Path(__file__).parent / "models"
PAGE = Path(__file__).parent.parent / "docs" / "protocols.md"
WORSE = {  # metric -> whether more or less of it is worse
    "janus_index": 1,
    "consistency": -1,
    "over_exposure": 1,
    "detail_error": 1,
    "detail": -1,
    "floaters": 1,
    "saturation": 1,
}
OWN = {  # metric -> the defect that it is there to find; saturation describes
    "janus_index": "two_faced",
    "consistency": "flicker",
    "over_exposure": "over_exposed",
    "detail_error": "blurred",
    "detail": "blurred",
    "floaters": "floaters",
}
ABOVE = 0.2  # an index that says: a second face
CLEAN = ("true", "worn")
SPECKLED = tuple(f"speckled {strength}" for strength in STRENGTHS)
CHOSEN = (
    "consistency: the largest multiple of .001 that 95 % of the choosing objects' clean scenes (true, worn) "
    "reach; clip, of this scorer alone: midway between clearly over-exposed scenes (60) and the least that "
    "finished assets reach (78); first: half of the views, whatever the scorer"
)


def find_assets(folders: list[Path]) -> list[tuple[Path, Spec, bool]]:
    """Every asset.ply below the folders that is of a toybox's prompt, and its scene.

    The third: whether a second face was asked for, its prompt's third view word being the first. Raises
    ValueError if there is none.
    """
    specs, found = {spec.caption(): spec for spec in all_specs()}, []
    for asset in sorted(path for folder in folders for path in folder.rglob("asset.ply")):
        path = asset.with_name("provenance.json")
        record: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {"prompt": "?"}
        if record["prompt"] in specs:
            front, _, behind, _ = record["config"]["prompts"]["views"]
            found.append((asset, specs[record["prompt"]], front == behind))
        else:
            print(f"{asset}: left out, no toy is called {record['prompt']!r}", file=sys.stderr)
    if not found:
        raise ValueError(f"no asset of a toy below {', '.join(map(str, folders))}")
    return found


def judge(looks: list[Values]) -> dict[str, Any]:
    """How many looks, how many with an index above .2, how many keep theirs, how many of these above .2."""
    index, kept = indices(looks), np.array([not values["janus_withheld"] for values in looks])
    return {
        "count": len(looks),
        "above": int((index > ABOVE).sum()),
        "kept": int(kept.sum()),
        "kept_above": int((index[kept] > ABOVE).sum()),
    }


def indices(looks: list[Values]) -> np.ndarray:
    return np.array([values["janus_index"] for values in looks])


def wins(sick: np.ndarray, healthy: np.ndarray) -> np.ndarray:
    """Of object i's sick look over object j's healthy ones, (m, n): share of wins, ties half.

    sick: (m,), healthy: (n, h), larger is worse. The mean over all i and j is the ROC AUC.
    """
    margin = sick[:, None, None] - healthy[None]
    return ((margin > 0) + 0.5 * (margin == 0)).mean(-1)


def area(sick: list[Values], healthy: list[Values]) -> dict[str, float]:
    """ROC AUC of the index for sick against healthy looks, without the gates and with them."""
    found = {}
    for name, gated in (("without", False), ("with", True)):
        one, other = (
            indices([values for values in looks if not (gated and values["janus_withheld"])])
            for looks in (sick, healthy)
        )
        found[name] = float(wins(one, other[:, None]).mean()) if len(one) and len(other) else float("nan")
    return found


def summarize(measured: list[dict[str, Values]], assets: list[tuple[Values, bool]]) -> dict[str, Any]:
    """The gates and their judgment, from each object's looks and assets (a second face asked for?)."""
    name, count = scale()["clip"]["name"], scale()["views"]["count"]
    choosing = [values[look] for i, values in enumerate(measured) if halves(i)[0] for look in CLEAN]
    judging = [values for i, values in enumerate(measured) if not halves(i)[0]]
    groups = {
        "clean": [values[look] for values in judging for look in CLEAN],
        "speckled": [values[look] for values in judging for look in SPECKLED],
        **{f"two_faced {s}": [values[f"two_faced {s}"] for values in judging] for s in STRENGTHS},
        "finished assets, one face": [v for v, asked in assets if not asked and v["janus"] < 0.5],
        "finished assets, a second face asked for": [v for v, asked in assets if asked],
    }
    rings = {count: "consistency", **{n: f"consistency_{n}" for n in SPARSER}}
    negatives = groups["clean"] + groups["speckled"] + groups["finished assets, one face"]
    return {
        "scorer": name,
        "chosen": CHOSEN,
        "gates": {"consistency": {str(n): gate(n) for n in rings}, "clip": LEAST[name], "first": FIRST},
        "clean_quantile": {
            "consistency": {str(n): quantile(choosing, metric) for n, metric in rings.items()},
            "clip": quantile(choosing, "clip"),
            "first": quantile(choosing, "clip_r"),
        },
        "judged": {group: judge(looks) for group, looks in groups.items() if looks},
        "auc": {s: area(groups[f"two_faced {s}"], negatives) for s in STRENGTHS},
        "cross": {
            f"{defect} {s}": judge([values[f"{defect} {s}"] for values in measured])
            for defect in DEFECTS
            for s in STRENGTHS
        },
    }


def quantile(looks: list[Values], metric: str) -> float:
    """What 95 % of the looks reach."""
    return float(np.quantile([values[metric] for values in looks], 0.05))


def interval(table: np.ndarray, seed: int, resamples: int = 1000) -> list[float]:
    """95 % bootstrap interval of the AUC of a table of wins (n, n), objects drawn with replacement."""
    n = len(table)
    weights = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), resamples) / n  # (resamples, n)
    aucs = np.einsum("ri,ij,rj->r", weights, table, weights)
    return np.quantile(aucs, [0.025, 0.975]).tolist()


def calibrate(measured: list[dict[str, Values]], seed: int) -> dict:
    """Of every metric: AUC and median of each defect and strength, and how well it finds its own.

    For its own defect also the AUC's interval, and `apart`: the AUC of the clear strength against the other
    defects' clear strength, instead of healthy objects.
    """

    def column(look: str, metric: str) -> np.ndarray:
        return WORSE[metric] * np.array([values[look][metric] for values in measured])

    found: dict[str, dict] = {}
    for metric in WORSE:
        healthy = np.stack([column("true", metric), column("worn", metric)], axis=1)
        sick = {d: {s: column(f"{d} {s}", metric) for s in STRENGTHS} for d in DEFECTS}
        found[metric] = {
            "healthy_quantiles": np.quantile(WORSE[metric] * healthy, [0.05, 0.5, 0.95]).tolist(),
            "median": {
                d: {s: float(np.median(WORSE[metric] * v)) for s, v in each.items()}
                for d, each in sick.items()
            },
            "auc": {
                d: {s: float(wins(v, healthy).mean()) for s, v in each.items()} for d, each in sick.items()
            },
        }
        if own := OWN.get(metric):
            others = np.stack([each["clear"] for d, each in sick.items() if d != own], axis=1)
            found[metric] |= {
                "own": own,
                "interval": {s: interval(wins(v, healthy), seed) for s, v in sick[own].items()},
                "apart": float(wins(sick[own]["clear"], others).mean()),
            }
    return found


def tables(record: dict) -> dict[str, str]:
    """The page's tables by name: `auc`, `index` (the cross row of the Janus index), `gates`."""
    return {
        "auc": auc_table(record["metrics"]),
        "index": index_table(record),
        "gates": gate_table(record["janus_gates"]),
    }


def auc_table(found: dict) -> str:
    """A row a metric, mild / clear / strong a defect, its own in bold."""
    body = []
    for metric, figures in found.items():
        cells = []
        for defect in DEFECTS:
            text = " / ".join(f"{figures['auc'][defect][s]:.2f}" for s in STRENGTHS)
            cells.append(Marked(f"**{text}**") if figures.get("own") == defect else text)
        body.append([Marked(f"`{metric}`"), *cells])
    return grid(["metric", *(name.replace("_", " ") for name in DEFECTS)], body)


def index_table(record: dict) -> str:
    """What each defect does to the Janus index: its median, the share above .2, and the share withheld."""
    body = []
    for defect in DEFECTS:
        cells = []
        for strength in STRENGTHS:
            median = record["metrics"]["janus_index"]["median"][defect][strength]
            seen = record["janus_gates"]["cross"][f"{defect} {strength}"]
            above, withheld = (100 * n / seen["count"] for n in (seen["above"], seen["count"] - seen["kept"]))
            cells.append(f"{median:.2f}, {above:.0f} %, {withheld:.0f} %")
        body.append([defect.replace("_", " "), *cells])
    return grid(["defect", *STRENGTHS], body)


def gate_table(gates: dict) -> str:
    """How many looks have an index above .2 without and with the gates."""
    body = [
        [group.replace("_", " "), f"{n['above']} of {n['count']}", f"{n['kept_above']} of {n['kept']}"]
        for group, n in gates["judged"].items()
    ]
    for strength, auc in gates["auc"].items():
        figures = (f"{auc['without']:.2f}", f"{auc['with']:.2f}")
        body.append([f"AUC of two faces, {strength}, against all without", *figures])
    return grid(["above .2", "without gates", "with gates"], body)


def fill(page: str, name: str, table: str) -> str:
    """A Markdown page with the table between the comments `name` and `end` exchanged; ValueError without."""
    before, begin, rest = page.partition(f"<!-- {name} -->")
    _, end, after = rest.partition("<!-- end -->")
    if not (begin and end):
        raise ValueError(f"no place for a table between '<!-- {name} -->' and '<!-- end -->'")
    return f"{before}{begin}\n{table}\n{end}{after}"


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Plant defects in toybox scenes and see which metric finds them."
    )
    parser.add_argument("--objects", type=int, default=24, help="default: 24, three of each class")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--assets", type=Path, nargs="+", default=[], metavar="FOLDER",
                        help="finished assets of toys below, which judge the Janus index too")  # fmt: skip
    parser.add_argument("--out", type=Path, default=MODELS / "pathologies.json")
    parser.add_argument("--page", type=Path, default=PAGE, help="page whose tables are written anew")
    args = parser.parse_args(argv)
    if args.objects < 2 or args.jobs < 1:
        parser.error("--objects must be at least 2 and --jobs at least 1")
    return args


def main(argv: list[str] | None = None) -> None:
    args = parse_arguments(argv)
    specs = draw_specs(args.objects, np.random.default_rng(args.seed))
    try:
        assets = find_assets(args.assets) if args.assets else []
    except ValueError as error:
        sys.exit(f"error: {error}")
    paths, toys, asked = zip(*assets, strict=True) if assets else ((), (), ())
    with ProcessPoolExecutor(args.jobs, mp_context=get_context("spawn")) as pool:
        objects = pool.map(measure_object, range(args.objects), specs, [args.seed] * args.objects)
        finished = pool.map(measure_asset, paths, toys)
        measured, judging = list(objects), list(zip(finished, asked, strict=True))
    setting = {"objects": args.objects, "healthy": 2 * args.objects, "seed": args.seed}
    found = {"metrics": calibrate(measured, args.seed), "janus_gates": summarize(measured, judging)}
    record = setting | {"views": scale()["views"]} | rounded(found)
    write_json(args.out, record)
    page = args.page.read_text()
    for name, table in tables(record).items():
        print(table, end="\n\n")
        page = fill(page, name, table)
    args.page.write_text(page)


if __name__ == "__main__":
    main()
