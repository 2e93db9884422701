"""A ledger of planted truths, and the values that they are read from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from eval.claims.verdicts import CONTRADICTED, SUPPORTED, UNDECIDABLE, UNMEASURED, UNRESOLVED
from eval.scores.pathologies.consistency import GATE


def mini(value: float) -> dict[str, dict[str, Any]]:
    return {"mini": {"value": value, "why": "planted"}}


CONTENT = {
    "readings": {
        "reward": ["image_reward", "toy_reward"],
        "sharpness": [
            {"metrics": ["detail_error"], "turned": True},
            {"metrics": ["detail"], "needs": "consistency"},
        ],
        "alignment": [{"metrics": ["clip_r_hard"], "needs": "truth"}, "clip"],
        "time": [{"metrics": ["seconds"], "needs": "alone"}, {"metrics": ["tflop", "nfe"]}],
    },
    "margins": {
        "narrow": {"mini": {"share": 0.01, "of": [30, 80], "why": "planted"}},
        "wide": mini(6.0),
        "elsewhere": {"paper": {"value": 1.0, "why": "planted"}},
    },
    "thresholds": {
        "tenth": {"over_exposure": {"value": 0.1, "why": "planted"}},
        "fifth": {"over_exposure": {"value": 0.2, "why": "planted"}},
    },
}
PAIR = {"of": "m/N~1", "is": "lower", "than": "m/N~5"}
CLIP = {"metric": "clip", "of": "sctd", "is": "higher"}
SAME = {"metric": "clip", "of": "sctd", "is": "same"}
WORSE = {"metric": "clip", "of": "sds", "is": "not lower", "than": "sctd"}
FID = {"metric": "fid_clip", "is": "lower"}
BLOWN = {"metric": "over_exposure", "is": "above"}
PLANTED: dict[str, tuple[str, dict[str, Any], str]] = {
    "true": ("table1", CLIP | {"than": ["sds", "cds"]}, SUPPORTED),
    "false": ("table1", CLIP | {"metric": "reward", "than": "sds"}, CONTRADICTED),
    "open": ("table1", CLIP | {"than": "ism"}, UNRESOLVED),
    "same": ("table1", SAME | {"than": "ism", "margin": "narrow"}, SUPPORTED),
    "different": ("table1", SAME | {"than": "sds", "margin": "narrow"}, CONTRADICTED),
    "tolerated": ("table1", WORSE | {"margin": "wide"}, SUPPORTED),
    "intolerable": ("table1", WORSE | {"margin": "narrow"}, CONTRADICTED),
    "blown": ("table1", BLOWN | {"of": "gcs", "threshold": "tenth"}, SUPPORTED),
    "not_blown": ("table1", BLOWN | {"of": ["gcs", "sctd"], "threshold": "fifth"}, CONTRADICTED),
    "pooled": ("table1", FID | {"of": "sctd", "than": ["sds", "cds"]}, SUPPORTED),
    "pooled_turned": ("table1", FID | {"of": "sds", "than": "sctd"}, CONTRADICTED),
    "unseen_method": ("table1", CLIP | {"of": "csd", "than": "sds"}, UNMEASURED),
    "unseen_metric": ("table1", CLIP | {"metric": "image_reward", "than": "sds"}, UNMEASURED),
    "unseen_margin": ("table1", SAME | {"than": "ism", "margin": "elsewhere"}, UNMEASURED),
    "seen_ablation": ("known_scene", {"metric": "detail", **PAIR}, CONTRADICTED),
    "few_prompts": ("few", {"metric": "detail", **PAIR}, UNDECIDABLE),
    "unseen_ablation": ("cfg", {"metric": "clip", **PAIR}, UNMEASURED),
    "smooth": ("known_scene", {"metric": "sharpness", **PAIR}, SUPPORTED),
    "smooth_unknown": ("unknown_scene", {"metric": "sharpness", **PAIR}, CONTRADICTED),
    "smooth_flickering": ("flicker", {"metric": "sharpness", **PAIR}, UNMEASURED),
    "fast_alone": ("alone", {"metric": "time", **PAIR}, SUPPORTED),
    "unseen_study": ("table1", CLIP | {"metric": "q1", "than": "sds"}, UNMEASURED),
    "harder": ("hard", {"metric": "alignment", **PAIR}, SUPPORTED),
    "harder_unknown": ("hard_unknown", {"metric": "alignment", **PAIR}, CONTRADICTED),
    "fast_beside_others": ("beside", {"metric": "time", **PAIR}, CONTRADICTED),
}
Values = dict[str, tuple[Callable[[int], float], Callable[[int], float]]]


def around(level: float) -> Callable[[int], float]:
    return lambda p: level + 0.01 * (p % 3)


def always(level: float) -> Callable[[int], float]:
    return lambda p: level


# metric -> its values per prompt of the variants m/N~1 and m/N~5
SPECKLED: Values = {"detail": (around(12.0), around(9.0))}
CONSISTENT: Values = {"consistency": (always(GATE), lambda p: GATE if p < 7 else GATE - 0.001)}
FLICKERING: Values = {"consistency": (always(0.5), always(GATE))}
HARD: Values = {"clip_r_hard": (around(0.3), around(0.6)), "clip": (around(88.0), around(87.0))}
COSTS: Values = {
    "seconds": (around(5.0), around(9.0)),
    "tflop": (around(3.0), around(2.0)),
    "nfe": (always(300), always(200)),
}
RUNS: dict[str, tuple[int, Values]] = {
    "known_scene": (8, SPECKLED | {"detail_error": (around(0.5), around(0.3))}),
    "few": (3, SPECKLED),
    "unknown_scene": (8, SPECKLED | CONSISTENT),
    "flicker": (8, SPECKLED | FLICKERING),
    "hard": (8, HARD | {"iou": (always(0.5), always(0.5))}),
    "hard_unknown": (8, HARD | {"iou": (always(0.5), lambda _: float("nan"))}),
    "alone": (8, COSTS | {"alone": (always(1), always(1))}),
    "beside": (8, COSTS | {"alone": (always(1), lambda p: 0.5 if p == 3 else 1)}),
}


def write_ledger(path: Path, planted: dict[str, tuple[str, dict[str, Any]]], **content: Any) -> Path:
    entries = [
        {"id": name, "text": f"claim {name}", "where": "Table 1", "source": source, "contrasts": [contrast]}
        for name, (source, contrast, *_) in planted.items()
    ]
    path.write_text(yaml.safe_dump(CONTENT | content | {"claims": entries}, sort_keys=False))
    return path


def write_values(path: Path, prompts: int, values: Values) -> None:
    rows = [
        (f"m/N~{n}", f"p{p:02d}", metric, of_prompt[n == 5](p))
        for n in (1, 5)
        for p in range(prompts)
        for metric, of_prompt in values.items()
    ]
    pd.DataFrame(rows, columns=["variant", "prompt", "metric", "value"]).dropna().to_csv(path, index=False)
