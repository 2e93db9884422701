"""What a user can get wrong of files and devices, a row each: one line that says what and where."""

from __future__ import annotations

import io
import json
import shutil
import struct
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from plyfile import PlyData, PlyElement
from refusals import assert_one_line
from test_bad_settings import FILES, SETTINGS

from eval.prompt_table import read_prompts
from eval.score import check_usage
from eval.views.archive import read_asset
from segmentdreamer.checkpoint import load_checkpoint
from segmentdreamer.command import BadUsage, check_threads, find_device
from segmentdreamer.config import load_config
from segmentdreamer.prior.diffusers_prior import check_prior, check_size
from segmentdreamer.prior.folder import check_folder
from segmentdreamer.records import check_writable
from segmentdreamer.scene.gaussians import PLY_FIELDS, load_ply
from segmentdreamer.start.clouds import read_cloud
from segmentdreamer.timing.journal import find_tracker

ROOT = Path(__file__).parents[2]
PRIOR = ROOT / "toybox/models/prior"
FIELDS = [field for name, fields in PLY_FIELDS.items() if name != "normals" for field in fields]

HEAD = "id\tprompt\tinit_prompt\tcamera\tsymmetric\n"
TABLES = [
    ("x.tsv", b"", "looks like a table"),
    ("x.tsv", HEAD.encode(), "no prompts"),
    ("x.tsv", b"id\tprompt\np01\ta cat\n", "missing column init_prompt"),
    ("x.tsv", f"{HEAD}p01\ta h\xe4t\ta\tobject\tno\n".encode("latin-1"), "is not UTF-8 text"),
    ("x.tsv", f"{HEAD}p01\t \ta\tobject\tno\n".encode(), "an empty prompt"),
    ("x.tsv", f"{HEAD}p01\ta cat\ta\tobject\tno\np02\tA  Cat\ta\tobject\tno\n".encode(), "there twice"),
    ("x.tsv", f"{HEAD}p01\ta\tb\tobject\tno\np01\tc\td\tobject\tno\n".encode(), "duplicate id p01"),
    ("x.tsv", f"{HEAD}../x\ta\tb\tobject\tno\n".encode(), "is not made of letters and digits"),
    ("x.tsv", f"{HEAD}p01\ta\tb\tobject\tmaybe\n".encode(), "symmetric is yes or no"),
    ("x.tsv", f"{HEAD}p01\ta\tb\tobject\tno\tmore\n".encode(), "line 2 has 6 fields"),
    ("x.json", b"{", "is no JSON"),
    ("x.json", b"[" * 100_000, "is no JSON"),
    ("x.json", b'[{"text": "a"}]', "an entry without a prompt"),
    ("x.json", b'[{"id": null, "prompt": "a"}, {"id": "b", "prompt": "c"}]', "id '' is not made of"),
    ("x.csv", b"p01,a cat\n", "looks like a table"),
]


@pytest.mark.parametrize(("name", "content", "words"), TABLES)
def test_a_wrong_prompt_table(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    assert_one_line(lambda: read_prompts(tmp_path / name), words)


@pytest.mark.parametrize(
    ("text", "prompts"),
    [
        (HEAD + 'p01\ta "red" cat\ta\tobject\tno\np02\t"a dog\ta\tobject\tno\n', ['a "red" cat', '"a dog']),
        (HEAD + '001\t"a cat"\ta\tobject\tno\n02\tb"\ta\tobject\tno\n', ['"a cat"', 'b"']),
        (HEAD.strip() + "\t\np01\ta cat\ta\tobject\tno\t\t\n", ["a cat"]),
        (HEAD + "p01\ta cat\n", ["a cat"]),
    ],
)
def test_between_tabs_a_prompt_is_what_stands_there(tmp_path: Path, text: str, prompts: list[str]) -> None:
    (tmp_path / "x.tsv").write_text(text)
    found = read_prompts(tmp_path / "x.tsv")
    assert found["prompt"].tolist() == prompts
    assert found["id"].tolist() == [line.split("\t")[0] for line in text.splitlines()[1:]]


def test_gptevals_list_is_a_prompt_table(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(json.dumps(["a cat", "a dog"]))
    found = read_prompts(tmp_path / "x.json")
    assert found[["id", "prompt", "init_prompt", "camera"]].to_numpy().tolist() == [
        ["p01", "a cat", "a cat", "object"],
        ["p02", "a dog", "a dog", "object"],
    ]


def write_ply(path: Path, fields: list[str], types: dict[str, str] | None = None, **values: float) -> Path:
    table = np.ones(5, dtype=[(field, (types or {}).get(field, "f4")) for field in fields])
    for field, value in values.items():
        table[field] = value
    PlyData([PlyElement.describe(table, "vertex")]).write(str(path))
    return path


GAUSSIANS: list[tuple[str, Callable[[Path], object], str]] = [
    ("a.ply", lambda p: p.write_bytes(b""), "is no PLY"),
    ("a.ply", lambda p: p.write_bytes(b"ply\n"), "is not a readable"),
    ("a.splat", lambda p: p.write_bytes(bytes(320)), "is a .splat file"),
    ("a.spz", lambda p: p.write_bytes(bytes(320)), "is a .spz file"),
    ("a.ply", lambda p: write_ply(p, ["packed_position", "packed_rotation"]), "is a compressed PLY"),
    ("a.ply", lambda p: write_ply(p, ["x", "y", "z"]), "it has no f_dc_0"),
    ("a.ply", lambda p: write_ply(p, FIELDS, x=np.nan), "holds means that are not finite"),
    ("a.ply", lambda p: write_ply(p, FIELDS, opacity=np.nan), "holds opacities that are not finite"),
    ("a.ply", lambda p: write_ply(p, FIELDS, scale_1=np.inf), "holds scales that are not finite"),
    ("a.ply", lambda p: claim(write_ply(p, FIELDS), b"5", b"99999999999"), "claims 99,999,999,999 elements"),
    ("a.ply", lambda p: p.write_bytes(write_ply(p, FIELDS).read_bytes()[:-9]), "end-of-file"),
]


def claim(path: Path, old: bytes, new: bytes) -> None:
    path.write_bytes(path.read_bytes().replace(b"element vertex " + old, b"element vertex " + new))


@pytest.mark.parametrize(("name", "make", "words"), GAUSSIANS)
def test_a_wrong_asset(tmp_path: Path, name: str, make: Callable[[Path], object], words: str) -> None:
    make(tmp_path / name)
    assert_one_line(lambda: load_ply(tmp_path / name), words)


def test_gaussians_of_any_order_types_and_further_fields_are_read(tmp_path: Path) -> None:
    more = ["red", "green", "blue", *(f"f_rest_{i}" for i in range(45))]
    types = {"red": "u1", "green": "u1", "blue": "u1", "x": "f8", "f_dc_1": "i4"}
    found = load_ply(write_ply(tmp_path / "a.ply", [*more, *reversed(FIELDS)], types, opacity=np.inf, y=3))
    assert found["means"].tolist() == [[1, 3, 1]] * 5
    assert found["opacities"].sigmoid().tolist() == [1.0] * 5
    assert found["shN"].shape == (5, 15, 3)


def png(side: int, height: int | None = None) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGBA", (side, height or side)).save(buffer, "PNG")
    return buffer.getvalue()


def pack(path: Path, *members: tuple[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)


def lie(path: Path) -> None:
    """A reason of ten megabytes that claims to have a hundred bytes."""
    pack(path, ("failed.txt", bytes(10_000_000)))
    data = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        struct.pack_into("<I", data, data.find(mark) + offset, 100)
    path.write_bytes(data)


VIEWS: list[tuple[Callable[[Path], object], str]] = [
    (lambda p: p.write_bytes(b"PK"), "is not an archive of views"),
    (lambda p: pack(p), "holds no PNG"),
    (lambda p: pack(p, ("000.png", png(8)), ("001.png", png(9))), "views of different sizes"),
    (lambda p: pack(p, ("000.png", png(8)), ("0.png", png(8))), "are both number 0"),
    (lambda p: pack(p, ("000.png", png(8)), ("000.png", png(8))), "000.png and 000.png are both number 0"),
    (lambda p: pack(p, ("000.png", png(12_000, 2))), "a view has at most 8192 a side"),
    (lambda p: pack(p, ("000.png", b"not a picture")), "is no picture"),
    (lambda p: pack(p, ("000.png", b"")), "the file is empty"),
    (lambda p: pack(p, ("failed.txt", bytes(1_000_000))), "more than the 10,000 that may be"),
    (lie, "Bad CRC-32"),
]


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(("make", "words"), VIEWS)
def test_a_wrong_archive_of_views(tmp_path: Path, make: Callable[[Path], object], words: str) -> None:
    make(tmp_path / "views.zip")
    assert_one_line(lambda: read_asset(tmp_path / "views.zip"), words)


def change(folder: Path, part: str, **fields: object) -> None:
    path = folder / part
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def index(content: dict[str, object], folder: Path) -> None:
    """A folder whose UNet is one of shards, by such an index."""
    (folder / WEIGHTS).unlink()
    (folder / f"{WEIGHTS}.index.json").write_text(json.dumps(content))


WEIGHTS = "unet/diffusion_pytorch_model.safetensors"
SCHEDULER = "scheduler/scheduler_config.json"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n"
FOLDERS: list[tuple[Callable[[Path], object], str]] = [
    (lambda f: change(f, "model_index.json", _class_name="StableDiffusionXLPipeline"), "XLPipeline"),
    (lambda f: change(f, "model_index.json", _class_name="FluxPipeline"), "is of a FluxPipeline"),
    (lambda f: change(f, "unet/config.json", _class_name="UNet3DConditionModel"), "UNet3DConditionModel"),
    (lambda f: change(f, "vae/config.json", _class_name="AutoencoderTiny"), "AutoencoderTiny"),
    (lambda f: change(f, "text_encoder/config.json", hidden_size=7), "reads texts of width 96"),
    (lambda f: change(f, SCHEDULER, _class_name="FlowMatchEulerDiscreteScheduler"), "another kind of model"),
    (lambda f: change(f, SCHEDULER, _class_name="EDMEulerScheduler"), "another kind of model"),
    (lambda f: change(f, SCHEDULER, snr_shift_scale=3.0), "snr_shift_scale 3.0"),
    (lambda f: change(f, SCHEDULER, prediction_type="sample"), "prediction_type 'sample'"),
    (lambda f: change(f, SCHEDULER, beta_start="x"), "the betas are not numbers"),
    (lambda f: change(f, SCHEDULER, beta_end=2), "do not lie between 0 and 1"),
    (lambda f: change(f, SCHEDULER, num_train_timesteps=50), "num_train_timesteps 50"),
    (lambda f: (f / SCHEDULER).unlink(), "no file"),
    (lambda f: (f / SCHEDULER).write_text("["), "is not JSON"),
    (lambda f: (f / WEIGHTS).write_bytes(POINTER), "is a pointer of Git LFS"),
    (lambda f: (f / WEIGHTS).write_bytes((2**60).to_bytes(8, "little")), "is no whole safetensors file"),
    (lambda f: (f / WEIGHTS).write_bytes((f / WEIGHTS).read_bytes()[:-10]), "its header tells of"),
    (lambda f: (f / WEIGHTS).unlink(), "no file"),
    (lambda f: (f / "model_index.json").unlink(), "no file"),
    (lambda f: (f / "tokenizer/tokenizer.json").unlink(), "tokenizer.json, nor vocab.json in its place"),
    (lambda f: change(f, "unet/config.json", sample_size=[16, 24]), "[16, 24] of the UNet is no square"),
    *(
        (partial(index, content), "has no weight_map")
        for content in ({}, {"weight_map": 1}, {"weight_map": {}})
    ),
]


@pytest.fixture(scope="module")
def prior(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(PRIOR, tmp_path_factory.mktemp("prior") / "p"))


@pytest.mark.parametrize(("spoil", "words"), FOLDERS)
def test_a_wrong_folder_of_weights(tmp_path: Path, spoil: Callable[[Path], object], words: str) -> None:
    folder = Path(shutil.copytree(PRIOR, tmp_path / "p"))
    spoil(folder)
    assert_one_line(lambda: check_folder(folder), words)


def test_systems_own_files_beside_the_weights_change_no_digest(prior: Path) -> None:
    config = load_config("mini", [f"prior.path={prior}"]).prior
    for name in (".DS_Store", ".git/HEAD", "unet/._config.json", "Thumbs.db", "vae/desktop.ini"):
        (prior / name).parent.mkdir(exist_ok=True)
        (prior / name).write_text("x")
    assert check_prior(config) == config.sha256


OTHERS: list[tuple[Callable[[Path], object], str]] = [
    (lambda t: find_device("gpu"), "it is cpu, cuda or cuda:NUMBER"),
    (lambda t: find_device("cuda:99"), "no device 'cuda:99'"),
    (lambda t: find_device("cuda:x"), "no device 'cuda:x'"),
    (lambda t: check_threads(1000), "1000 threads: this machine has"),
    (lambda t: check_threads(0), "0 threads"),
    (lambda t: find_tracker("paper"), "no tracker 'paper'"),
    (lambda t: find_tracker("mlflow"), "needs the package mlflow"),
    (lambda t: check_size(load_config("mini").prior, 72, "cpu"), "pictures of 64 px alone"),
    (lambda t: check_size(load_config("mini").prior, 66, "cuda"), "is no multiple of 4"),
    (lambda t: load_config("mini", camera_preset="dog"), "no camera preset 'dog'"),
    (lambda t: load_config(t), "no scale or configuration file"),
    (lambda t: (t / "a").touch() or check_writable(t / "a" / "b.ply"), "cannot be written"),
    (lambda t: check_writable(t / ("x" * 300) / "b.ply"), "cannot be written (File name too long)"),
    (lambda t: (t / "a.ply").mkdir() or check_writable(t / "a.ply"), "a folder has its name"),
    (lambda t: check_writable(Path("/proc/nothing/a.ply")), "cannot be written"),
    (lambda t: (t / "a.npz").write_bytes(b"PK") and read_cloud(t / "a.npz"), "is not a readable point cloud"),
    (lambda t: np.savez(t / "a.npz", coords=np.array([{}])) or read_cloud(t / "a.npz"), "allow_pickle=False"),
]


@pytest.mark.parametrize(("wrong", "words"), OTHERS)
def test_what_else_is_wrong(tmp_path: Path, wrong: Callable[[Path], object], words: str) -> None:
    assert_one_line(lambda: wrong(tmp_path), words)


@pytest.mark.parametrize("arc", [0.0, -1.0, 361.0, float("nan")])
def test_an_arc_is_a_part_of_the_circle(arc: float) -> None:
    with pytest.raises(BadUsage):
        check_usage(Path(), None, None, None, arc)


def test_a_broken_checkpoint_begins_anew_with_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for content in (b"", b"junk", bytes(100)):
        (tmp_path / "a.pt").write_bytes(content)
        assert load_checkpoint(tmp_path / "a.pt", "key", load_config("mini"), "cpu") is None
        assert "cannot be read" in capsys.readouterr().err


def test_the_tables_have_more_than_eighty_rows() -> None:
    assert sum(map(len, (SETTINGS, FILES, TABLES, GAUSSIANS, VIEWS, FOLDERS, OTHERS))) >= 150
