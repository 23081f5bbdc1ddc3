from __future__ import annotations

import csv
import json
import os
import pickle
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from espret.bin import main
from espret.data.datadir import DataDir
from espret.errors import EspretError
from espret.features import published as module
from espret.features.importer import import_features
from espret.features.keys import match_keys
from espret.features.published import open_published
from espret.features.reader import FeatureReader
from espret.files import read_json
from espret.training.data import Split

GOLDEN = Path(__file__).parents[1] / "goldens" / "features" / "hickle.zip"
NAMES = {"u1": "video--x_1", "u2": " it's é.wav", "u3": "a%b", "u4": "abcdefghijk_30", "u5": "none"}
OUT = "dump/vggish/train"


def values() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        "video--x_1": rng.normal(size=(3, 4)).astype(np.float32),
        " it's é.wav": rng.normal(size=4),
        "a%b": np.float64("nan"),
        "abcdefghijk_30000": rng.normal(size=(1, 4)),
        "of nobody": rng.normal(size=(2, 4)),
    }


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe folder, as working directory, with five clips in data/train."""
    folder = tmp_path / "it's a recipe; Möwe"
    folder.mkdir()
    monkeypatch.chdir(folder)
    DataDir(wav_scp={utt: f"{utt}.wav" for utt in NAMES}, utt2fname=NAMES).write("data/train")
    return folder


def write_npz(path: str, content: dict[str, Any]) -> None:
    np.savez(path, **content)


def write_pickle(path: str, content: dict[str, Any]) -> None:
    Path(path).write_bytes(pickle.dumps(content))


def write_hdf5(path: str, content: dict[str, Any]) -> None:
    with h5py.File(path, "w") as file:
        for key, value in content.items():
            file[key] = value


def write_hickle3(path: str, content: dict[str, Any]) -> None:
    with h5py.File(path, "w") as file:
        file.attrs.update({"CLASS": b"hickle", "VERSION": "3.4.9"})
        for key, value in content.items():
            file[f"data_0/{key!r}/data_0"] = value


def write_hickle4(path: str, content: dict[str, Any]) -> None:
    with h5py.File(path, "w") as file:
        file.attrs["HICKLE_VERSION"] = "4.0.4"
        for key, value in content.items():
            file["data/" + repr(key).replace("/", "\\\\") + "/data"] = value


def write_hickle5(path: str, content: dict[str, Any]) -> None:
    with h5py.File(path, "w") as file:
        file.attrs["HICKLE_VERSION"] = "5.0.3"
        file["hickle_types_table/0"] = np.zeros(3)
        for key, value in content.items():
            file[f'data/"{key}"'] = value


def write_hickled_pickle(path: str, content: dict[str, Any]) -> None:
    with h5py.File(path, "w") as file:
        file.attrs.update({"CLASS": b"hickle", "VERSION": "3.4.9"})
        file["data_0"] = np.array([pickle.dumps(content)])


WRITERS: list[tuple[str, str, Callable[[str, dict[str, Any]], None]]] = [
    ("-x y.npz", "npz", write_npz),
    ("x.pickle", "pickle", write_pickle),
    ("x.PKL", "pickle", write_pickle),
    ("x.h5", "hdf5", write_hdf5),
    ("x.hdf5", "hdf5", write_hdf5),
    ("x.hickle", "hickle 3", write_hickle3),
    ("x.hkl", "hickle 4", write_hickle4),
    ("y.hkl", "hickle 5", write_hickle5),
    ("z.hkl", "hickle 3", write_hickled_pickle),
]


@pytest.mark.parametrize(("name", "form", "write"), WRITERS)
def test_every_format_gives_the_same(
    recipe: Path, name: str, form: str, write: Callable[[str, dict[str, Any]], None]
) -> None:
    write(name, values())
    result = import_features(name, "data/train", OUT + ".partial")
    assert (result.found, result.missing, result.unused, result.dim) == (3, ["u3", "u5"], 1, 4)
    Path(OUT + ".partial").rename(OUT)
    reader = FeatureReader(OUT)
    assert reader.utts == ["u1", "u2", "u4"] and reader.dim == 4
    assert reader.num_frames() == {"u1": 3, "u2": 1, "u4": 1}
    for utt, key in (("u1", "video--x_1"), ("u2", " it's é.wav"), ("u4", "abcdefghijk_30000")):
        assert reader[utt].dtype == np.float32
        np.testing.assert_array_equal(reader[utt], np.atleast_2d(values()[key]).astype(np.float32))
    assert Path(OUT, "missing").read_text() == "u3\nu5\n"
    assert Path(OUT, "utt2key").read_text() == "u1 video--x_1\nu2 %20it's é.wav\nu4 abcdefghijk_30000\n"
    about = read_json(Path(OUT, "about.json"))
    assert about["frontend"] == "imported" and about["source"] == name and about["format"] == form
    assert (about["utterances"], about["missing"], about["unused_keys"]) == (3, 2, 1)
    assert sorted(path.name for path in Path(OUT).iterdir()) == [
        "about.json",
        "feats.ark",
        "feats.scp",
        "missing",
        "utt2key",
        "utt2num_frames",
    ]


@pytest.fixture(params=["3.4.9", "4.0.4", "5.0.3"])
def golden(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    with zipfile.ZipFile(GOLDEN) as archive:
        yield request.param, Path(archive.extract(f"hickle-{request.param}.hickle", tmp_path))


def test_what_hickle_itself_wrote(golden: tuple[str, Path]) -> None:
    version, path = golden
    rng = np.random.RandomState(0)
    first, second = rng.normal(size=(3, 4)).astype(np.float32), rng.normal(size=4)
    with open_published(path) as published:
        assert published.format == f"hickle {version[0]}"
        again = ["again"] if version == "5.0.3" else []
        assert sorted(published.keys) == sorted(["video--x_1", " it's é.wav", "a/b", *again])
        for key in ["video--x_1", *again]:
            np.testing.assert_array_equal(published.read(key), first)
        np.testing.assert_array_equal(published.read(" it's é.wav"), second)
        assert np.isnan(published.read("a/b"))


def test_training_reads_what_is_imported(recipe: Path) -> None:
    write_npz("x.npz", {key: np.full((2, 128), 0.5) for key in NAMES.values()})
    assert import_features("x.npz", "data/train", OUT, "vggish").missing == []
    assert not Path(OUT, "missing").exists()
    split = Split("data/train", OUT, None)
    assert split.dim == 128 and split.features(4).shape == (2, 128)


def test_without_all_features_training_says_so(recipe: Path) -> None:
    write_npz("x.npz", values())
    import_features("x.npz", "data/train", OUT)
    with pytest.raises(EspretError, match=r"no features of 2 clip\(s\) of data/train, the first is u3"):
        Split("data/train", OUT, None)


@pytest.mark.parametrize(
    ("key", "utt", "name"),
    [
        ("u", "u", "other"),
        ("other", "u", "other"),
        ("Y 2 .wav", "clotho-dev-00001", "Y 2 .wav"),
        ("Y 2", "clotho-dev-00001", "Y 2 .wav"),
        ("a.b.flac", "u", "a.b.wav"),
        ("a.wav", "u", "a.wav.wav"),
        ("-_cdefghijk_30000", "Y-_cdefghijk", "-_cdefghijk_30"),
        ("-_cdefghijk_0", "Y-_cdefghijk", "-_cdefghijk_0"),
        ("-_cdefghijk", "Y-_cdefghijk", "-_cdefghijk_30"),
        ("v_-_cdefghijk", "q--_cdefghijk", "video--_cdefghijk"),
        ("video--_cdefghijk.mp4", "v_-_cdefghijk", "v_-_cdefghijk"),
    ],
)
def test_an_utterance_is_found_by_id_and_by_name(key: str, utt: str, name: str) -> None:
    assert match_keys({key, "else"}, [utt, "x"], {utt: name, "x": "y"}) == {utt: key}
    assert match_keys({key + "x", "else"}, [utt, "x"], {utt: name, "x": "y"}) == {}


def test_a_segment_is_not_its_video() -> None:
    name = "-_cdefghijk--_cdefghijk_5d3cd4ffce9988439be4a938"
    assert match_keys({"video--_cdefghijk", "-_cdefghijk"}, ["qs-x"], {"qs-x": name}) == {}
    assert match_keys({name}, ["qs-x"], {"qs-x": name}) == {"qs-x": name}


def test_keys_that_differ_by_suffix_or_blanks_only_are_told_apart() -> None:
    keys = {"a.wav", "a.flac", "b", " b"}
    assert match_keys(keys, ["1", "2", "3"], {"1": "a.wav", "2": " b", "3": "a.mp3"}) == {"1": "a.wav", "2": " b"}
    assert match_keys({"a .wav"}, ["1", "2"], {"1": "a.wav", "2": "a .wav"}) == {"2": "a .wav"}


def test_one_key_for_two_utterances_is_refused() -> None:
    with pytest.raises(EspretError, match="'a' would be the features of both '1' and '2'.*--utt2key"):
        match_keys({"a"}, ["1", "2"], {"1": "a.wav", "2": "a.flac"})


@pytest.mark.skipif("ESPRET_TEST_DATA" not in os.environ, reason="ESPRET_TEST_DATA does not name the real data")
def test_keys_and_names_of_the_real_lists() -> None:
    lists = Path(os.environ["ESPRET_TEST_DATA"], "csv")
    classes = json.loads((lists / "audio_retrieval_splits/audiocaps/test_class_videoid_dict_all.json").read_text())
    keys = {key for listed in classes.values() for key in listed}  # <video>_<milliseconds>
    with open(lists / "audiocaps_v1/test.csv", encoding="utf-8", newline="") as stream:
        names = {f"Y{row['youtube_id']}": f"{row['youtube_id']}_{row['start_time']}" for row in csv.DictReader(stream)}
    assert set(match_keys(keys, names, names).values()) == keys and len(keys) == 846
    videos, segments = (
        {
            str(k): key
            for k, key in enumerate((lists / f"audio_retrieval_splits/{name}/test_list.txt").read_text().split())
        }
        for name in ("queryd", "querydsegments")
    )
    assert len(match_keys(set(segments.values()), segments, segments)) == 1954
    assert match_keys(set(videos.values()), segments, segments) == {}
    with open(lists / "clotho_v2.1/clotho_captions_development.csv", encoding="utf-8", newline="") as stream:
        names = {f"clotho-dev-{k:05d}": row["file_name"] for k, row in enumerate(csv.DictReader(stream))}
    stems = {name.removesuffix(".wav").strip() for name in names.values()}
    assert len(match_keys(stems, names, names)) == len(names) == 3839


def test_a_table_of_keys(recipe: Path) -> None:
    write_npz("x.npz", values())
    Path("table").write_text("u1 of nobody\nu2 %20it's é.wav\nu5 not there\n")
    result = import_features("x.npz", "data/train", OUT, utt2key="table")
    assert result.found == 2 and result.missing == ["u3", "u4", "u5"] and result.unused == 3
    np.testing.assert_array_equal(FeatureReader(OUT)["u1"], values()["of nobody"].astype(np.float32))
    Path(OUT, "utt2key").rename("written")
    assert import_features("x.npz", "data/train", OUT, utt2key="written").found == 2
    Path("table").write_text("nobody u1\n")
    with pytest.raises(EspretError, match="table: 1 utterances that are not in data/train: nobody"):
        import_features("x.npz", "data/train", OUT, utt2key="table")


def test_only_the_keys_asked_for_are_read(recipe: Path) -> None:
    write_hdf5("x.h5", values())
    with h5py.File("x.h5", "a") as file:
        file.create_dataset("of nobody either", shape=(2**40,), dtype="f4", chunks=(1024,))
    assert import_features("x.h5", "data/train", OUT).unused == 2


def test_rows_of_an_array_and_their_keys(recipe: Path) -> None:
    array = np.arange(12, dtype=np.float16).reshape(3, 4)
    np.save("x.npy", array)
    Path("keys").write_text("of nobody\nu1\nvideo--x_2\n")
    result = import_features("x.npy", "data/train", OUT, keys="keys")
    assert result.found == 1 and result.unused == 2
    np.testing.assert_array_equal(FeatureReader(OUT)["u1"], array[1:2])


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("u1\nu2\n", r"x.npy: array \[3, 4\] for the 2 keys of keys; expected \[2, dim\]"),
        ("u1\nu2\nu1\n", "keys:3: 'u1' is empty or was seen before"),
        ("u1\n\nu2\n", "keys:2: '' is empty or was seen before"),
        (None, "x.npy: the rows of an .npy, and only these, have their keys in a file; mend: --keys FILE"),
    ],
)
def test_keys_that_are_not_those_of_the_rows(recipe: Path, keys: str | None, message: str) -> None:
    np.save("x.npy", np.zeros((3, 4)))
    Path("keys").write_text(keys or "")
    with pytest.raises(EspretError, match=message):
        import_features("x.npy", "data/train", OUT, keys=keys and "keys")


def partly(value: float) -> np.ndarray:
    array = np.ones((2, 4))
    array[1, 2] = value
    return array


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (partly(np.nan), r"x.pkl: 'none' \(of u5\): 1 of 8 numbers are NaN or infinite"),
        (partly(np.inf), "1 of 8 numbers are NaN or infinite"),
        (partly(1e300), "1 of 8 numbers are NaN or infinite as float32"),
        (np.ones((2, 5)), r"'none' \(of u5\): dim 5; expected 4, the dim of 'video--x_1'"),
        (np.ones((2, 4, 1)), r"an array \[2, 4, 1\]; expected a dict of key -> array \[frames, dim\] or \[dim\]"),
        (3.0, r"an array \[\]; expected"),
        (True, "an array of bool; expected"),
        (np.array(["a"]), "an array of <U1; expected"),
        (np.array([None, "a"]), "an array of object; expected"),
        (np.ones(4) * 1j, "an array of complex128; expected"),
        ([[1.0] * 4], "a list; expected"),
        ({"a": 1}, "a dict; expected"),
    ],
)
def test_values_that_are_no_features(recipe: Path, value: object, message: str) -> None:
    write_pickle("x.pkl", values())
    import_features("x.pkl", "data/train", OUT)
    write_pickle("x.pkl", {**values(), "none": value})
    with pytest.raises(EspretError, match=message):
        import_features("x.pkl", "data/train", OUT)
    assert not {"about.json", "feats.scp", "missing"}.intersection(path.name for path in Path(OUT).iterdir())


@pytest.mark.parametrize("value", [None, float("nan"), np.float32("nan"), np.full((2, 4), np.nan), np.zeros((0, 4))])
def test_values_that_stand_for_nothing(recipe: Path, value: object) -> None:
    write_pickle("x.pkl", {**values(), "none": value})
    assert import_features("x.pkl", "data/train", OUT).missing == ["u3", "u5"]


def test_dims_asked_for(recipe: Path) -> None:
    write_npz("x.npz", values())
    assert import_features("x.npz", "data/train", OUT, "mine", 4).dim == 4
    with pytest.raises(EspretError, match="'video--x_1' .of u1.: dim 4; expected 5, the dim asked for"):
        import_features("x.npz", "data/train", OUT, dim=5)
    with pytest.raises(EspretError, match="dim 4; expected 2208, the dim of scene"):
        import_features("x.npz", "data/train", OUT, "scene")
    with pytest.raises(EspretError, match="--dim 4: the expert 'vggish' has 128"):
        import_features("x.npz", "data/train", OUT, "vggish", 4)


def test_how_many_may_be_missing(recipe: Path) -> None:
    write_npz("x.npz", values())
    assert import_features("x.npz", "data/train", OUT, max_missing=2).found == 3
    with pytest.raises(EspretError, match="no features of 2 of the 5 clips of data/train: u3, u5; expected at most 1"):
        import_features("x.npz", "data/train", OUT, max_missing=1)
    assert [path.name for path in Path(OUT).glob("feats.*")] == []
    write_npz("x.npz", {"u1": np.float64("nan")})
    with pytest.raises(EspretError, match="no features of 5 of the 5 clips.*expected features of some of the keys"):
        import_features("x.npz", "data/train", OUT)
    write_npz("x.npz", {"another": np.ones(4)})
    message = (
        r"none of its 1 keys belongs to one of the 5 clips of data/train; keys: 'another'; clips .*: u1 \(video--x_1\)"
    )
    with pytest.raises(EspretError, match=message):
        import_features("x.npz", "data/train", OUT)


def link_out(file: h5py.File) -> None:
    file["none"] = h5py.ExternalLink("other.h5", "/x")
    file["a%b"] = h5py.SoftLink("/nowhere")


def external(file: h5py.File) -> None:
    file.create_dataset("none", (4,), "f8", external=[("/dev/zero", 0, 32)])


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((4,), "f8")
    layout[:] = h5py.VirtualSource("other.h5", "x", (4,))
    file.create_virtual_dataset("none", layout)


def strings(file: h5py.File) -> None:
    file["none"] = ["a", "bc"]


def huge(file: h5py.File) -> None:
    file.create_dataset("none", (2**28, 4), "f8", chunks=(64, 4))


def test_links_out_of_the_file_are_not_followed(recipe: Path) -> None:
    write_hdf5("other.h5", {"x": np.ones(4)})
    write_hdf5("x.h5", {"u1": np.ones(4)})
    with h5py.File("x.h5", "a") as file:
        link_out(file)
    assert import_features("x.h5", "data/train", OUT).found == 1


@pytest.mark.parametrize(
    ("plant", "message"),
    [
        (external, "'none' lies in another file"),
        (virtual, "'none' lies in another file"),
        (strings, "'none' is of object; expected a dict of key -> array"),
        (huge, "'none' says that it has 8589934592 bytes"),
    ],
)
def test_hostile_hdf5(recipe: Path, plant: Callable[[h5py.File], None], message: str) -> None:
    with h5py.File("x.h5", "w") as file:
        plant(file)
    with pytest.raises(EspretError, match=message):
        import_features("x.h5", "data/train", OUT)


def test_a_hickle_with_a_pickle_runs_nothing(recipe: Path) -> None:
    with h5py.File("x.hickle", "w") as file:
        file.attrs["HICKLE_VERSION"] = "4.0.4"
        file["data"] = np.bytes_(b"cposix\nsystem\n(S'touch ran'\ntR.")
    with pytest.raises(EspretError, match="x.hickle: byte 0: 'posix.system'; expected nothing but"):
        import_features("x.hickle", "data/train", OUT)
    assert not Path("ran").exists()


@pytest.mark.parametrize("write", [write_hickle3, write_hickle4, write_hickle5])
def test_a_hickle_of_other_things(recipe: Path, write: Callable[[str, dict[str, Any]], None]) -> None:
    write("x.hickle", {"a": np.ones(2)})
    with h5py.File("x.hickle", "a") as file:
        file["data/list/data_0"] = np.ones(2)
    with pytest.raises(
        EspretError, match="x.hickle: 'data/list/data_0' is not the array of a key, in the way of hickle"
    ):
        import_features("x.hickle", "data/train", OUT)


def test_hostile_npz(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez("x.npz", none=np.array([print], dtype=object))
    with pytest.raises(EspretError, match="x.npz: 'none' cannot be read: Object arrays cannot be loaded"):
        import_features("x.npz", "data/train", OUT)
    with zipfile.ZipFile("x.npz", "w") as archive:
        archive.writestr("none.npy", b"not an array")
    with pytest.raises(EspretError, match="x.npz: 'none' cannot be read"):
        import_features("x.npz", "data/train", OUT)
    monkeypatch.setattr(module, "LARGEST", 1000)
    np.savez_compressed("x.npz", none=np.zeros((100, 4)))
    with pytest.raises(EspretError, match="x.npz: 'none' says that it has 3328 bytes; expected at most 1000"):
        import_features("x.npz", "data/train", OUT)


@pytest.mark.parametrize("name", ["x.npz", "x.h5", "x.hickle", "x.pkl", "x.npy"])
def test_files_that_are_something_else(recipe: Path, name: str) -> None:
    Path("keys").write_text("a\n")
    keys = "keys" if name.endswith(".npy") else None
    with pytest.raises(EspretError, match=f"{name}: no such file; expected features"):
        import_features(name, "data/train", OUT, keys=keys)
    Path(name).write_text("<html>404</html>")
    with pytest.raises(EspretError, match=f"{name}: .*mend: fetch .* again"):
        import_features(name, "data/train", OUT, keys=keys)
    assert not Path(OUT).exists()


def test_cut_files_end_in_an_error(recipe: Path) -> None:
    for name, _, write in WRITERS:
        write("whole" + name, values())
        content = Path("whole" + name).read_bytes()
        for part in (0.3, 0.6, 0.95):
            Path(name).write_bytes(content[: int(len(content) * part)])
            with pytest.raises(EspretError):
                import_features(name, "data/train", OUT)


def test_other_files_are_refused(recipe: Path) -> None:
    Path("x.mat").touch()
    with pytest.raises(EspretError, match="x.mat: suffix '.mat'; expected one of .hickle, .hkl"):
        import_features("x.mat", "data/train", OUT)
    with pytest.raises(EspretError, match="x.mat: the rows of an .npy.*mend: leave out --keys"):
        import_features("x.mat", "data/train", OUT, keys="x.mat")
    write_pickle("x.pkl", [1])  # type: ignore[arg-type]
    with pytest.raises(EspretError, match="x.pkl: holds a list; expected a dict of key -> array"):
        import_features("x.pkl", "data/train", OUT)
    write_pickle("x.pkl", {1: np.ones(2)})  # type: ignore[dict-item]
    with pytest.raises(EspretError, match="x.pkl: key 1 is a int; expected strings"):
        import_features("x.pkl", "data/train", OUT)


def test_verb(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_npz("-x y.npz", values())
    call = ["import-features", "--from=-x y.npz", "--data", "data/train", "--out", OUT]
    assert main([*call, "--name", "mine", "--dim", "4"]) == 0
    assert capsys.readouterr().out == f"{OUT}: mine of dim 4: 3 found, 2 missing, 1 keys unused\nmissing: u3, u5\n"
    assert main([*call, "--max-missing", "0"]) == 1
    assert "espret import-features: error: -x y.npz: no features of 2 of the 5 clips" in capsys.readouterr().err
