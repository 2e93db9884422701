"""A full ring: where Janus index and consistency may be computed, and why not elsewhere."""

from __future__ import annotations

import json

import numpy as np
import pytest

from eval.views.ring import FEWEST, around, fault, goes_around, read_azimuths

RING = np.arange(120) * 3.0


def positions(azimuths: np.ndarray, axis: int = 2, height: float = 0.5) -> np.ndarray:
    """Cameras (V, 3) at these azimuths about one of the three axes, off the origin."""
    radians = np.radians(azimuths)
    found = np.insert(np.stack([np.cos(radians), np.sin(radians)], 1) * 3, axis, height, axis=1)
    return found + np.array([5.0, -2.0, 1.0])


def transforms(found: np.ndarray, order: list[int] | None = None) -> bytes:
    frames = []
    for i in order or range(len(found)):
        matrix = np.eye(4)
        matrix[:3, 3] = found[i]
        frames.append({"file_path": f"./images/rgb_{i}", "transform_matrix": matrix.tolist()})
    return json.dumps({"camera_angle_x": 0.7, "frames": frames}).encode()


@pytest.mark.parametrize(
    "azimuths", [RING, -RING, RING + 77, RING % 360 - 180, np.linspace(-180, 180, 120), np.arange(36) * 10]
)
def test_once_around_in_even_steps_is_a_ring_whatever_its_start_and_sense(azimuths: np.ndarray) -> None:
    assert goes_around(azimuths)


@pytest.mark.parametrize(
    "azimuths",
    [
        RING / 2,
        RING * 2,
        RING * 350 / 360 * 0.9,
        np.zeros(120),
        RING[::-1][np.arange(120) ^ 1],
        np.random.default_rng(0).permutation(RING),
        np.delete(RING, 7),
        np.full(120, np.nan),
    ],
)
def test_an_arc_two_turns_a_gap_or_no_order_are_no_ring(azimuths: np.ndarray) -> None:
    assert not goes_around(azimuths)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_camera_positions_tell_a_ring_from_half_a_ring_about_any_axis(axis: int) -> None:
    assert goes_around(around(positions(RING, axis)))
    assert not goes_around(around(positions(RING / 2, axis)))


def test_cameras_that_lie_on_no_circle_are_no_ring() -> None:
    spiral = positions(RING) + np.linspace(0, 3, 120)[:, None] * [0, 0, 1]
    assert np.isnan(around(spiral)).all()
    sphere = np.random.default_rng(0).normal(size=(120, 3))
    assert np.isnan(around(sphere / np.linalg.norm(sphere, axis=1, keepdims=True))).all()
    assert np.isnan(around(np.ones((120, 3)))).all()


def test_the_order_of_frames_is_that_of_their_files_numbers() -> None:
    mixed = np.random.default_rng(0).permutation(120).tolist()
    found = read_azimuths(transforms(positions(RING), mixed), "transforms.json")
    assert found is not None and goes_around(found)


def test_cameras_of_the_workflow_are_read_and_a_spiral_by_their_elevations_is_none() -> None:
    ours = {"azimuth": RING.tolist(), "elevation": [0.0] * 120}
    assert np.array_equal(read_azimuths(json.dumps(ours).encode(), "cameras.json"), RING)
    ours["elevation"] = np.linspace(0, 60, 120).tolist()
    assert np.isnan(read_azimuths(json.dumps(ours).encode(), "cameras.json")).all()
    for other in (b'{"fov": 0.5}', b"[{}]", b'{"frames": []}', b'{"azimuth": null}'):
        assert read_azimuths(other, "cameras.json") is None


@pytest.mark.parametrize("data", [b"", b"{", b'{"frames": [{}]}', b'{"azimuth": ["x"]}', b'{"frames": 1}'])
def test_a_broken_file_of_cameras_gets_one_line(data: bytes) -> None:
    with pytest.raises(ValueError, match="p01/cameras.json is no file of cameras") as caught:
        read_azimuths(data, "p01/cameras.json")
    assert "\n" not in str(caught.value)


def test_what_keeps_views_from_being_a_ring_is_said() -> None:
    numbers = list(range(120))
    assert fault(numbers) == "" and fault(list(range(FEWEST))) == ""
    assert fault(numbers[: FEWEST - 1]) == "they need 36 views"
    assert fault(numbers, arc=180) == "the views go around 180 degrees"
    assert fault([n for n in numbers if n != 57]) == "the sequence lacks number 57"
    assert fault(numbers, RING / 2) == "by their cameras the views do not go once around in even steps"
    assert fault(numbers, RING[:60]) == "there are cameras of 60 views"
    assert fault(numbers, RING) == ""
