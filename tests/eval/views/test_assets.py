"""Whose views a folder holds, whatever a file system did to its names; and archives as others write them."""

from __future__ import annotations

import io
import unicodedata
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from eval.views.archive import read_asset, read_failure, read_views
from eval.views.folders import find_assets

TEXT = "A café, in Zürich"


def png(level: int, mode: str = "RGB", size: tuple[int, int] = (4, 4)) -> bytes:
    stream = io.BytesIO()
    Image.new(mode, size, (level,) * len(mode) if len(mode) > 1 else level).save(stream, "PNG")
    return stream.getvalue()


def fill(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names or ("rgb_000.png", "rgb_001.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(png(10))
    return folder


def pack(path: Path, members: list[tuple[str, bytes]]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name), data)
    return path


@pytest.mark.parametrize(
    "name",
    ["p01", "P01", TEXT, TEXT.replace(" ", "_"), unicodedata.normalize("NFD", TEXT), "a-café-in-zürich",
     "a_CAFÉ__in_Zürich_", f"{TEXT} ", f"{TEXT}.", "A café in Zürich"],
)  # fmt: skip
def test_a_prompts_folder_is_found_under_any_spelling_of_id_or_text(tmp_path: Path, name: str) -> None:
    fill(tmp_path / name)
    found = find_assets(tmp_path, ["p01", "p02"], [TEXT, "a duck"])
    assert found.places["p01"] == {"0": tmp_path / name}
    assert found.missing == {"p02": "no views"} and not found.strays


def test_seeds_are_folders_in_their_order_and_those_without_views_are_said(tmp_path: Path) -> None:
    for seed in (10, 2):
        fill(tmp_path / "p01" / str(seed))
    (tmp_path / "p01/3").mkdir()
    fill(tmp_path / "p01/4", "rgb_000.jpg")
    (tmp_path / "p01/logs").mkdir()
    found = find_assets(tmp_path, ["p01"], ["a duck"])
    assert list(found.places["p01"]) == ["2", "10"]
    assert found.missing["p01/3"] == "holds no PNG"
    assert found.missing["p01/4"].startswith("holds 1 .jpg files") and len(found.missing) == 2


def test_folders_by_kind_are_one_asset_and_not_seeds(tmp_path: Path) -> None:
    for i in range(2):
        for kind, data in (("rgb", png(10 + i)), ("normal", png(99)), ("alpha", png(7, "L"))):
            (tmp_path / "p01" / kind).mkdir(parents=True, exist_ok=True)
            (tmp_path / "p01" / kind / f"{i}.png").write_bytes(data)
    found = find_assets(tmp_path, ["p01"], ["a duck"])
    assert found.places["p01"] == {"0": tmp_path / "p01"}
    assert read_views(tmp_path / "p01")[:, 0, 0].tolist() == [[10, 10, 10, 7], [11, 11, 11, 7]]


def test_folders_of_no_prompt_are_named(tmp_path: Path) -> None:
    for name in ("p01", "p99", "scores/p01"):
        fill(tmp_path / name)
    (tmp_path / "logs").mkdir()
    assert find_assets(tmp_path, ["p01"], ["a duck"]).strays == ["p99", "scores"]


def test_folders_beside_a_prompts_own_views_are_named(tmp_path: Path) -> None:
    fill(fill(tmp_path / "p01") / "iter_500")
    (tmp_path / "p01/logs").mkdir()
    found = find_assets(tmp_path, ["p01"], ["a duck"])
    assert found.places["p01"] == {"0": tmp_path / "p01"} and found.strays == ["p01/iter_500"]


def test_an_archive_beside_its_own_pictures_is_refused(tmp_path: Path) -> None:
    pack(fill(tmp_path / "p01") / "views.zip", [("0.png", png(1))])
    with pytest.raises(ValueError, match="p01 holds views.zip and pictures of views: remove one"):
        find_assets(tmp_path, ["p01"], ["a duck"])


def test_two_folders_of_one_prompt_or_one_of_two_prompts_are_refused(tmp_path: Path) -> None:
    fill(tmp_path / "p01")
    fill(tmp_path / "a_duck")
    with pytest.raises(ValueError, match="p01 and .*a_duck both hold views|a_duck and .*p01 both hold views"):
        find_assets(tmp_path, ["p01"], ["a duck"])
    with pytest.raises(ValueError, match="a_duck fits the prompts p02, p03: name it by an id"):
        find_assets(tmp_path, ["p01", "p02", "p03"], ["a car", "a duck!", "a duck?"])


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["p01/rgb_000.jpg"], "p01 holds 1 .jpg files: scores need PNG, as the loss of JPEG and its kind"),
        (["p01/0/rgb_000.jpeg"], "p01 in its folder 0 holds 1 .jpeg files"),
        (["p01/rgb_000.webp"], "p01 holds 1 .webp files"),
        (["p01/normal_000.png"], "p01 holds 1 PNG, such as normal_000.png, but no views"),
        (["p01/renders.zip"], "p01 holds renders.zip: expected views.zip"),
        (["rgb_000.png"], "its own pictures belong into a folder of their prompt"),
        (["rgb_000.jpg"], "it holds 1 .jpg files"),
        (["duck/rgb_000.png"], "its folders duck are neither id nor text of a prompt"),
        (["p01/.rgb_000.png"], "p01 holds no PNG"),
    ],
)
def test_where_no_views_are_found_the_cause_is_named(tmp_path: Path, names: list[str], words: str) -> None:
    for name in names:
        fill((tmp_path / name).parent, Path(name).name)
    with pytest.raises(FileNotFoundError, match=words) as caught:
        find_assets(tmp_path, ["p01"], ["a yellow car"])
    assert "expected p01/rgb_000.png or p01/views.zip" in str(caught.value)


def test_a_prompt_longer_than_a_folders_name_is_looked_for_by_its_id(tmp_path: Path) -> None:
    fill(tmp_path / "p02")
    found = find_assets(tmp_path, ["p01", "p02"], ["a duck " * 60, "a bear"])
    assert found.missing["p01"].endswith("too long for a folder's name, so name its folder p01")


def test_members_of_an_archive_come_by_number_whatever_lies_beside_them(tmp_path: Path) -> None:
    members = [(f"out/{i}.png", png(i)) for i in (10, 2, 0, 1)]
    noise = [
        ("__MACOSX/out/._0.png", b"\0"),
        ("out/.DS_Store", b""),
        ("out/normal_0.png", png(99)),
        ("out/", b""),
    ]
    views = pack(tmp_path / "views.zip", [*noise, *members])
    assert read_views(views)[:, 0, 0, 0].tolist() == [0, 1, 2, 10]


def test_an_archive_may_hold_alphas_cameras_and_paths_of_windows(tmp_path: Path) -> None:
    members = [(f"out\\rgb_{i}.png", png(i)) for i in range(3)]
    members += [(f"out\\alpha_{i}.png", png(200 + i, "L")) for i in range(3)]
    asset = read_asset(pack(tmp_path / "views.zip", [*members, ("out\\transforms.json", b"{}")]))
    assert asset.rgba[:, 0, 0].tolist() == [[i, i, i, 200 + i] for i in range(3)]
    assert asset.numbers == [0, 1, 2] and asset.cameras == b"{}"


def encrypted(path: Path) -> Path:
    """The archive with the flag of encryption on each member, in both of its headers."""
    data = bytearray(path.read_bytes())
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = data.find(mark)
        while start >= 0:
            data[start + at] |= 1
            start = data.find(mark, start + 4)
    path.write_bytes(data)
    return path


def broken(path: Path) -> Path:
    """The archive with one wrong byte in its first picture."""
    data = bytearray(path.read_bytes())
    data[data.find(b"IDAT") + 8] ^= 0x55
    path.write_bytes(data)
    return path


def archives(folder: Path) -> dict[str, tuple[Path, str]]:
    def views(name: str, *extra: tuple[str, bytes]) -> Path:
        return pack(folder / name, [*((f"{i}.png", png(i)) for i in range(3)), *extra])

    (folder / "cut.zip").write_bytes(views("whole.zip").read_bytes()[:-40])
    (folder / "empty.zip").write_bytes(b"")
    return {
        "two folders": (views("a.zip", ("more/0.png", png(0))), "views in 2 folders"),
        "a truncated picture": (views("b.zip", ("3.png", png(3)[:-20])), "b.zip: 3.png cannot be read"),
        "a JPEG within": (views("c.zip", ("3.png", b"\xff\xd8\xff\xe0")), "c.zip: 3.png cannot be read"),
        "encrypted": (encrypted(views("d.zip")), "d.zip: 0.png cannot be read: it is encrypted"),
        "a wrong byte": (broken(views("e.zip")), "e.zip: 0.png cannot be read"),
        "cut": (folder / "cut.zip", "cut.zip is not an archive of views"),
        "empty": (folder / "empty.zip", "empty.zip is not an archive of views"),
        "sizes": (views("f.zip", ("3.png", png(3, size=(5, 4)))), "0.png of 4 x 4 px, 3.png 5 x 4 px"),
        "an alpha too few": (views("g.zip", ("alpha_0.png", png(3, "L"))), "1.png has no alpha picture"),
        "two alphas": (
            pack(folder / "h.zip", [("0.png", png(1, "RGBA")), ("alpha_0.png", png(3, "L"))]),
            "0.png has an alpha of its own, which is not that of alpha_0.png",
        ),
        "an alpha of another size": (
            pack(folder / "i.zip", [("0.png", png(1)), ("alpha_0.png", png(3, "L", (2, 4)))]),
            "0.png is 4 x 4 px, alpha_0.png is 2 x 4 px",
        ),
        "twice one name": (views("j.zip", ("2.png", png(9))), "both number 2"),
        "no picture": (pack(folder / "k.zip", [("a.txt", b"")]), "k.zip holds no PNG"),
    }


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_archive_that_cannot_be_read_is_said_in_one_line_with_its_member(tmp_path: Path) -> None:
    for case, (path, words) in archives(tmp_path).items():
        with pytest.raises(ValueError, match=words) as caught:
            read_views(path)
        assert path.name in str(caught.value) and "\n" not in str(caught.value), case


def test_the_reason_of_a_failed_asset_may_be_any_bytes(tmp_path: Path) -> None:
    assert (
        read_failure(pack(tmp_path / "views.zip", [("failed.txt", b"no \xff memory")])) == "no \ufffd memory"
    )


def test_a_folder_of_pictures_is_read_as_an_archive_of_them(tmp_path: Path) -> None:
    for i in range(12):
        data = png(i, "RGBA")
        fill(tmp_path / "a")
        (tmp_path / "a" / f"rgb_{i:03d}.png").write_bytes(data)
    members = [(path.name, path.read_bytes()) for path in (tmp_path / "a").iterdir()]
    archive = pack(tmp_path / "views.zip", members)
    assert np.array_equal(read_views(tmp_path / "a"), read_views(archive))
