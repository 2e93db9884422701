"""Distances of methods to a reference set, by metric id: value, jackknife error, paired differences.

Features are one array (n_p, D) a prompt, in the same order for all methods and the reference. The unit is the
prompt: errors leave one prompt out of both sides, differences do so for both methods at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd
from scipy.stats import t

from ..statistics.intervals import SMALLEST_SAMPLE
from . import frechet
from . import kernels as mmd

Prompts = Sequence[np.ndarray]
Estimate = tuple[np.ndarray, np.ndarray]  # of all prompts (M,), with each prompt left out (P, M)


def estimate_kernel(
    kernel: mmd.Kernel,
    statistic: Callable[[mmd.Blocks], float],
    methods: Sequence[Prompts],
    reference: Prompts,
) -> Estimate:
    values, left_out = mmd.jackknife(statistic, mmd.blocks(kernel, methods, reference))
    return kernel.factor * values, kernel.factor * left_out


# Metric id -> feature space and estimator. What was taken on CLIP bears it in its name, as FID does.
MEASURES: dict[str, tuple[str, Callable[[Sequence[Prompts], Prompts], Estimate]]] = {
    "fid_clip": ("clip", frechet.jackknife),
    "fid_clean": ("inception_clean", frechet.jackknife),
    "fid_pytorch": ("inception_pytorch", frechet.jackknife),
    "kid": ("inception_clean", partial(estimate_kernel, mmd.KID, mmd.stratified_mmd2)),
    "kid_pp": ("inception_clean", partial(estimate_kernel, mmd.KID, mmd.paired_mmd2)),
    "kid_clip": ("clip", partial(estimate_kernel, mmd.KID_CLIP, mmd.stratified_mmd2)),
    "kid_clip_pp": ("clip", partial(estimate_kernel, mmd.KID_CLIP, mmd.paired_mmd2)),
    "cmmd": ("clip", partial(estimate_kernel, mmd.CMMD, mmd.biased_mmd2)),
    "cmmd_pp": ("clip", partial(estimate_kernel, mmd.CMMD, mmd.paired_mmd2)),
}
# Those that take the prompts' differences for independent, which assets under wrong prompts are not.
PAIRED = {"kid_pp", "kid_clip_pp", "cmmd_pp"}
MISPLACED = (
    "these assets do not belong to these prompts: the 95 % interval lies below 0, where no distance is"
)
# Metric id -> feature space and kernel, of distances that each asset has.
OF_PROMPTS = {
    "kid_p": ("inception_clean", mmd.KID),
    "kid_clip_p": ("clip", mmd.KID_CLIP),
    "cmmd_p": ("clip", mmd.CMMD),
}

_estimates: dict[tuple[str, bytes, bytes], tuple[float, np.ndarray]] = {}


def estimate(metric: str, features: Mapping[str, Prompts], reference: Prompts) -> Estimate:
    """The metric of M methods (M,), and with each of P prompts left out of both sides (P, M).

    Remembered by the features' bytes: a table asks for the same figures once for each pair of methods.
    Raises ValueError for an unknown metric, or for lists of prompts that differ in length.
    """
    if metric not in MEASURES:
        raise ValueError(f"no distance {metric!r}; there are {', '.join(MEASURES)}")
    for method, prompts in features.items():
        if len(prompts) != len(reference):
            raise ValueError(f"{method} has {len(prompts)} prompts, the reference {len(reference)}")
    theirs = digest(reference)
    keys = {method: (metric, digest(prompts), theirs) for method, prompts in features.items()}
    if new := [method for method, key in keys.items() if key not in _estimates]:
        values, left_out = MEASURES[metric][1]([features[method] for method in new], reference)
        for number, method in enumerate(new):
            _estimates[keys[method]] = float(values[number]), left_out[:, number]
    found = [_estimates[key] for key in keys.values()]
    return np.array([value for value, _ in found]), np.stack([left for _, left in found], axis=1)


def digest(prompts: Prompts) -> bytes:
    """Digest of one array a prompt."""
    known = hashlib.blake2b(digest_size=16)
    for block in prompts:
        known.update(f"{block.shape}{block.dtype}".encode())
        known.update(np.ascontiguousarray(block).data)
    return known.digest()


def jackknife_error(left_out: np.ndarray) -> np.ndarray:
    """Standard error (M,) from delete-one values (P, M); NaN below three prompts."""
    n = len(left_out)
    if n < 3:
        return np.full(left_out.shape[1], np.nan)
    return np.sqrt((n - 1) / n * np.square(left_out - left_out.mean(0)).sum(0))


def measure(metric: str, features: Mapping[str, Prompts], reference: Prompts) -> pd.DataFrame:
    """Distance of each method: columns method, metric, value, se (jackknife over prompts)."""
    values, left_out = estimate(metric, features, reference)
    error = jackknife_error(left_out)
    return pd.DataFrame({"method": list(features), "metric": metric, "value": values, "se": error})


def intervals(metric: str, features: Mapping[str, Prompts], reference: Prompts) -> pd.DataFrame:
    """Distances, 95 % intervals (t on the jackknife's error): method, metric, mean, low, high, n, reason.

    reason: why there is no value, else empty. Prompt-paired, a method has none whose interval is below 0.
    """
    found, n = measure(metric, features, reference), len(reference)
    reach = (t.ppf(0.975, n - 1) if n >= SMALLEST_SAMPLE else float("nan")) * found["se"]
    ends = {"mean": found["value"], "low": found["value"] - reach, "high": found["value"] + reach}
    found = found[["method", "metric"]].assign(**ends, n=n, reason="")
    refused = (found["high"] < 0) & (metric in PAIRED)
    found.loc[refused, ["mean", "low", "high"]] = np.nan
    found.loc[refused, "reason"] = MISPLACED
    return found


def differences(
    metric: str, features: Mapping[str, Prompts], reference: Prompts, against: str = "sctd"
) -> pd.DataFrame:
    """Each other method minus `against`: columns method, metric, difference, error (jackknife), n.

    Raises ValueError if `against` is not among the methods.
    """
    if against not in features:
        raise ValueError(f"no method {against!r} to compare with")
    values, left_out = estimate(metric, features, reference)
    base = list(features).index(against)
    error = jackknife_error(left_out - left_out[:, [base]])
    rows = pd.DataFrame({"method": list(features), "metric": metric, "difference": values - values[base],
                         "error": error, "n": len(reference)})  # fmt: skip
    return rows[rows["method"] != against].reset_index(drop=True)
