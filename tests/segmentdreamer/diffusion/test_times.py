"""The timesteps that each method draws: official windows, gaps and edges."""

from __future__ import annotations

from collections import Counter
from typing import Literal

import pytest
import torch
from toys import toy_inputs, toy_prior

from baselines.cds import CDS
from baselines.ism import ISM
from baselines.sds import SDS
from segmentdreamer.diffusion.halving import draw_halving
from segmentdreamer.diffusion.times import (
    annealed_gap,
    draw_compact,
    draw_each,
    draw_segmented,
    draw_t,
)
from segmentdreamer.interfaces import Progress
from segmentdreamer.sctd import SCTD

KINDS: tuple[Literal["threestudio", "trunk"], ...] = ("threestudio", "trunk")
EARLY = [Progress(0, 5000, seed) for seed in range(600)]
LATE = [Progress(2000, 5000, seed) for seed in range(600)]
RUN = [Progress(step, 5000, 0) for step in range(0, 5000, 7)]


def test_the_window_starts_high_and_sinks_to_the_base_range() -> None:
    upper = [[draw_t(p) for p in progress] for progress in (EARLY, LATE)]
    both = [[draw_t(p, both_ends=True) for p in progress] for progress in (EARLY, LATE)]
    assert 21 <= min(upper[0]) < 60 and 940 < max(upper[0]) <= 979
    assert 500 <= min(both[0]) < 540 and 940 < max(both[0]) <= 979
    assert 21 <= min(upper[1]) < 40 and 480 < max(upper[1]) <= 500
    assert 21 <= min(both[1]) < 40 and 480 < max(both[1]) <= 500


def test_threestudios_sds_times_are_each_samples_own() -> None:
    t = torch.cat([draw_each(p, 4, "cpu") for p in EARLY])
    assert t.min() >= 20 and t.max() <= 980 and t.min() < 40 and t.max() > 960
    z_0, _, text = toy_inputs(3)
    own, shared = (SDS(times=kind)(toy_prior(), z_0, text, EARLY[0]).scalars["t"] for kind in KINDS)
    assert isinstance(own, torch.Tensor) and own.shape == (3,) and isinstance(shared, int)


@pytest.mark.parametrize("perp_neg", [False, True])
def test_isms_interval_shrinks_from_100_to_delta(perp_neg: bool) -> None:
    method = ISM(delta=80)
    for p in (*EARLY, *LATE, *RUN):
        times = method.draw_times(p, perp_neg)
        gap = annealed_gap(80, p, ceil=perp_neg)
        assert times.s == max(times.t - gap, 1) and 21 <= times.t <= 979
    assert annealed_gap(80, Progress(0, 5000, 0), ceil=True) == 100
    assert annealed_gap(80, Progress(0, 5000, 0), ceil=False) == 99
    assert annealed_gap(80, Progress(1499, 5000, 0), ceil=True) == 80


def test_ism_needs_1_65_hops_on_average() -> None:
    """Table of costs: 4.65 evaluations a sample and step at delta = 80 over 5000 steps."""
    hops = [
        max(1, -(-(ISM().draw_times(p).s - 1) // 200)) for p in (Progress(k, 5000, 0) for k in range(5000))
    ]
    assert abs(sum(hops) / len(hops) - 1.65) < 0.03


def test_sctd_needs_4_80_evaluations_on_average() -> None:
    one_step = [draw_segmented(SCTD().edges(), 80, False, Progress(k, 5000, 0)).t < 150 for k in range(5000)]
    assert abs(5 - sum(one_step) / len(one_step) - 4.80) < 0.02


def test_cds_times_sink_along_a_square_root_with_a_gap_of_each_samples_own() -> None:
    method = CDS()
    for p in RUN:
        pair = method.draw_times(p, 8)
        expected = int(700 + (20 - 700) * (p.step / 5000) ** 0.5)
        assert pair.t_next == min(max(expected, 20), 880)
        gaps = pair.t - pair.t_next
        assert gaps.min() >= 100 and gaps.max() <= 299 and len(set(gaps.tolist())) > 1
    assert CDS(annealing="linear").draw_times(Progress(2500, 5000, 0), 1).t_next == 360
    clipped = CDS(t_range=(100, 980), t_last=20).draw_times(Progress(4999, 5000, 0), 4)
    assert clipped.t_next == 100 and CDS(t_first=970).draw_times(Progress(0, 5000, 0), 4).t_next == 880


def test_gcs_triples_have_the_official_gaps() -> None:
    for p in (*EARLY, *LATE, *RUN):
        times, gap = draw_compact(80, p), annealed_gap(80, p, ceil=True)
        assert times.t >= gap + 2 and times.s == max(times.t - gap, 2)
        assert 2 <= times.e <= times.s < times.t <= 979
        if times.t > 2 * gap + 2:
            assert times.t - 2 * gap <= times.e <= times.t - gap - 11


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 10, 11])
@pytest.mark.parametrize("redraw", [False, True])
def test_sctd_triples_are_ordered_inside_the_schedule(n: int, redraw: bool) -> None:
    method = SCTD(N=n, redraw_t=redraw)
    for p in (*EARLY, *LATE, *RUN):
        times = draw_segmented(method.edges(), method.delta, redraw, p)
        assert times.e in method.edges()
        assert times.e + 10 <= times.s <= times.t - 11
        assert times.t - times.e >= 80 and times.t <= 980
        last = min(method.edges()[method.edges().index(times.e) + 1] - 1, 500 + p.shift)
        if redraw:  # nothing collapses but where the window leaves no room above e + delta
            assert times.t <= last or (times.collapsed and times.e + 80 > last)


@pytest.mark.parametrize(("n", "share"), [(5, 0.5), (10, 0.83), (12, 1.0)])
def test_official_draws_collapse_as_often_as_they_must(n: int, share: float) -> None:
    """After warm-up all of t in the first 80 timesteps of a segment sit on e + 80."""
    times = [draw_segmented(SCTD(N=n).edges(), 80, False, p) for p in LATE]
    collapsed = [t for t in times if t.collapsed]
    assert abs(len(collapsed) / len(times) - share) < 0.06
    assert all(t.t == t.e + 80 for t in collapsed)


def test_threestudios_times_reach_both_ends_of_the_schedule() -> None:
    times = torch.cat([draw_each(Progress(step, 9, 0), 2000, "cpu") for step in range(10)])
    assert times.min() == 20 and times.max() == 980


def test_the_upper_end_jumps_down_after_a_fifth_of_the_run() -> None:
    for steps, top in ((range(1001), 980), (range(1001, 1500), 500)):
        times = torch.cat([draw_halving(Progress(step, 5000, 0), 40, "cpu", 0.2) for step in steps])
        assert (int(times.min()), int(times.max())) == (20, top)


def test_redrawn_times_fill_their_segment_evenly() -> None:
    edges = SCTD(N=5).edges()
    drawn = [draw_segmented(edges, 80, True, Progress(2000, 5000, seed)) for seed in range(3000)]
    inside = Counter((t.t - 292) // 28 for t in drawn if t.e == 212)  # 292..403 in quarters of 28
    assert set(inside) == {0, 1, 2, 3} and max(inside.values()) < 1.35 * min(inside.values())


def test_more_segments_than_delta_allows_never_leave_the_schedule() -> None:
    for p in EARLY:
        times = draw_segmented(SCTD(N=40).edges(), 80, False, p)
        assert times.e + 10 <= times.s <= times.t - 11 and times.t <= 980


def test_the_official_monotone_edges_can_be_had() -> None:
    assert SCTD(strategy="monotone").edges() == [20, 150, 311, 503, 726, 980]
    assert SCTD(strategy="monotone", floor_mono=True).edges() == [20, 150, 311, 503, 726, 980]
    decoupled = SCTD(strategy="monotone", decouple_mono=True, t_tau=900)
    assert decoupled.edges() == SCTD(strategy="monotone", decouple_mono=True).edges()
    assert decoupled.edges()[1] == 20 + 96


def test_cds_under_the_trunks_annealing_lies_one_gap_below_the_trunks_t() -> None:
    loss = CDS(annealing="trunk", t_range=(1, 999))
    for p in EARLY[:40]:
        assert loss.draw_times(p, 4).t_next == max(min(draw_t(p, both_ends=True) - 100, 899), 1)


def test_redrawn_times_reach_the_last_timestep_before_the_next_edge() -> None:
    edges, delta = [20, 110, 980], 80  # between 100, the nearest, and 109 there is room for ten
    drawn = [draw_segmented(edges, delta, True, Progress(2000, 5000, seed)) for seed in range(3000)]
    assert {times.t for times in drawn if times.e == 20} == set(range(100, 110))


def test_every_window_is_filled_to_both_ends() -> None:
    late = [Progress(2000, 5000, seed) for seed in range(6000)]
    drawn = {draw_t(p) for p in late}
    assert (min(drawn), max(drawn)) == (21, 500)
    every = [draw_compact(80, p) for p in late]
    assert min(t.t for t in every) == 80 + 2, "a t below its interval is lifted to where s is 2"
    compact = [t for t in every if t.t > 2 * 80 + 2]
    assert {t.t - t.e for t in compact} == set(range(80 + 11, 2 * 80 + 1))
    lifted = [draw_segmented([20, 980], 80, False, p) for p in late if draw_t(p, both_ends=True) <= 100]
    assert {t.s for t in lifted} == set(range(30, 90))  # e + 10 .. t - 11 of e = 20 and t = 100
    assert not any(t.collapsed for t in compact)
