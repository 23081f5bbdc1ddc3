"""Weights of every format into networks, or an error that names what is wrong; and the fill rule of the goldens."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from filled import SMALL, fill, golden, layout, tensors, value, wave_i16
from safetensors.torch import save_file
from torch import Tensor, nn

from espret.audio import checkpoint, published, tensor_files
from espret.audio.checkpoint import checkpoint_path, load_checkpoint, load_network
from espret.audio.network import Extractor
from espret.audio.tensor_files import read_tensors
from espret.errors import EspretError
from espret.registry import Registry

NAME = "it's a; $(file) é.pth"  # formats are told by content, whatever a file is called


class Tiny(nn.Module):
    """A network with a name of each kind."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.bn = nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, 2)


class TinyKeras(nn.Module):
    """A network whose file has Keras's names."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 2)

    def from_keras(self, found: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"fc.weight": found["z_dense/z_dense/kernel:0"].T, "fc.bias": found["z_dense/z_dense/bias:0"]}


class TinyExtractor(Extractor):
    dim, hop_seconds = 2, 0.0

    def __init__(self, sample_rate: int, checkpoint: str = "official") -> None:
        super().__init__()
        self.sample_rate = sample_rate
        self.network, self.provenance = load_network("tiny", checkpoint, Tiny)

    def frames(self, samples: int) -> int:
        return 1

    def forward(self, samples: Tensor) -> Tensor:
        return samples


def state(network: nn.Module | None = None) -> dict[str, Tensor]:
    return {key: tensor.clone() for key, tensor in fill(network or Tiny()).state_dict().items()}


def save_torch(tensors: dict[str, Tensor], path: Path) -> None:
    torch.save({"model": tensors, "iteration": 3, "sampler": {"indexes": np.arange(3)}}, path)


def save_legacy(tensors: dict[str, Tensor], path: Path) -> None:
    torch.save(tensors, path, _use_new_zipfile_serialization=False)


def save_npz(tensors: dict[str, Tensor], path: Path) -> None:
    with path.open("wb") as stream:
        np.savez(stream, **{key: tensor.numpy() for key, tensor in tensors.items()})


def save_keras(tensors: dict[str, Tensor], path: Path, whole_model: bool = False, chunked: bool = False) -> None:
    """As Keras 2 does: groups of layers, whose order only attributes tell."""
    layers: dict[str, list[str]] = {}
    for key in tensors:
        layers.setdefault(key.split("/", 1)[0], []).append(key.split("/", 1)[1])
    with h5py.File(path, "w") as file:
        root = file.create_group("model_weights") if whole_model else file
        names = [name.encode() for name in layers]
        for number, part in enumerate([names[:1], names[1:]] if chunked else [names]):
            root.attrs[f"layer_names{number}" if chunked else "layer_names"] = part
        for layer, weights in layers.items():
            root.create_group(layer).attrs["weight_names"] = [weight.encode() for weight in weights]
            for weight in weights:
                root[layer][weight] = tensors[f"{layer}/{weight}"].numpy()


def equal(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    assert list(found) == list(wanted)
    for key, tensor in wanted.items():
        assert found[key].dtype == tensor.dtype and torch.equal(found[key], tensor), key


@pytest.mark.parametrize("save", [save_torch, save_legacy, save_npz, save_file])
def test_formats_are_told_by_content(save: Callable[[dict[str, Tensor], Path], None], tmp_path: Path) -> None:
    wanted = {**state(), "half": torch.ones(2, dtype=torch.float16), "scalar": torch.tensor(2.5)}
    save(wanted, tmp_path / NAME)
    found = read_tensors(tmp_path / NAME)
    equal({key: found[key] for key in wanted}, wanted)
    assert len(found) == len(wanted)


@pytest.mark.parametrize("options", [{}, {"whole_model": True}, {"chunked": True}])
def test_keras_weights_come_in_the_order_of_the_layers(options: dict[str, bool], tmp_path: Path) -> None:
    names = ("z/z/kernel:0", "z/z/bias:0", "a/a/kernel:0", "m/m/gamma:0")
    wanted = {name: torch.from_numpy(value(name, (2, 3))) for name in names}
    save_keras(wanted, tmp_path / "x.h5", **options)
    equal(read_tensors(tmp_path / "x.h5"), wanted)


def test_hdf5_that_is_not_kerass(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["layers/dense/vars/0"] = np.arange(3.0)
    equal(read_tensors(tmp_path / "x.h5"), {"layers/dense/vars/0": torch.arange(3, dtype=torch.float64)})


@pytest.mark.parametrize("legacy", [True, False])
def test_arrays_of_numpy_in_a_file_of_pytorch(legacy: bool, tmp_path: Path) -> None:
    arrays = {
        "pca_eigen_vectors": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "pca_means": np.arange(3, dtype=">f4"),
        "flags": np.array([True, False]),
    }
    torch.save({**arrays, "best": np.float64(0.5)}, tmp_path / "x", _use_new_zipfile_serialization=not legacy)
    found = read_tensors(tmp_path / "x")
    assert list(found) == list(arrays)
    for key, array in arrays.items():
        assert np.array_equal(found[key].numpy(), array), key


def test_numpys_names_of_before_version_2(tmp_path: Path) -> None:
    torch.save({"x": np.arange(3.0)}, tmp_path / "x", _use_new_zipfile_serialization=False)
    data = (tmp_path / "x").read_bytes()
    assert b"numpy._core.multiarray" in data or b"numpy.core.multiarray" in data
    other = (b"numpy._core", b"numpy.core") if b"numpy._core" in data else (b"numpy.core", b"numpy._core")
    (tmp_path / "x").write_bytes(data.replace(*other))
    assert read_tensors(tmp_path / "x")["x"].tolist() == [0, 1, 2]


WRONG: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "empty"),
    "page": (b"\n<!DOCTYPE html><html>", "web page"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "Git LFS"),
    "gzip": (gzip.compress(b"x"), "unpack"),
    "tensorflow": (b"\0\1\2" + bytes(40) + tensor_files.TENSORFLOW, "TensorFlow 1"),
    "text": (b"hello world", "no file of weights"),
    "pickle": (pickle.dumps({"x": 1}, 2), "no weights"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_no_file_of_weights(kind: str, tmp_path: Path) -> None:
    content, message = WRONG[kind]
    (tmp_path / NAME).write_bytes(content)
    with pytest.raises(EspretError, match=message) as caught:
        read_tensors(tmp_path / NAME)
    assert str(tmp_path / NAME) in str(caught.value) and "expected weights" in str(caught.value)


def test_no_file_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(EspretError, match="expected weights"):
            read_tensors(path)


@pytest.mark.parametrize("held", [[1, 2], {"epoch": 3, "model": {"a": 1}}, {}, torch.zeros(2)])
def test_a_file_of_pytorch_without_named_tensors(held: Any, tmp_path: Path) -> None:
    torch.save(held, tmp_path / "x")
    with pytest.raises(EspretError, match="expected a dict of tensors by name"):
        read_tensors(tmp_path / "x")


class Evil:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> Any:
        return os.system, (self.command,)


@pytest.mark.parametrize("legacy", [True, False])
def test_a_file_that_asks_for_more_is_refused_by_name(legacy: bool, tmp_path: Path) -> None:
    bait = tmp_path / "bait"
    content = {"model": state(), "args": Evil(f"touch '{bait}'")}
    torch.save(content, tmp_path / "x", _use_new_zipfile_serialization=not legacy)
    with pytest.raises(EspretError, match=r"'(posix|nt)\.system'"):
        read_tensors(tmp_path / "x")
    assert not bait.exists()


def test_arrays_of_objects_are_refused(tmp_path: Path) -> None:
    objects = np.array([None, "x"], dtype=object)
    torch.save({"x": objects}, tmp_path / "a.pth")
    np.savez(tmp_path / "b.npz", x=objects)
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["x"] = "text"
    for name in ("a.pth", "b.npz", "c.h5"):
        with pytest.raises(EspretError, match=name):
            read_tensors(tmp_path / name)


def test_a_description_of_an_array_that_leads_out_of_it(tmp_path: Path) -> None:
    class Liar:
        def __reduce__(self) -> Any:
            make, args, described = np.arange(3.0).__reduce__()[:3]
            return make, args, (described[0], (1000,), *described[2:])

    torch.save({"x": Liar()}, tmp_path / "x")
    with pytest.raises(EspretError, match="damaged"):
        read_tensors(tmp_path / "x")


@pytest.mark.parametrize("save", [save_torch, save_legacy, save_npz, save_file, save_keras])
def test_a_file_that_was_cut_off(save: Callable[[dict[str, Tensor], Path], None], tmp_path: Path) -> None:
    path = tmp_path / "x"
    save({"a/b": torch.arange(3000.0)}, path)
    whole = path.read_bytes()
    for size in (1, 9, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(EspretError, match="expected"):
            read_tensors(path)


def test_archives_that_unpack_to_more_than_they_are(tmp_path: Path) -> None:
    save_torch({"x": torch.zeros(200_000)}, tmp_path / "x")
    with zipfile.ZipFile(tmp_path / "x") as source, zipfile.ZipFile(tmp_path / "y", "w", zipfile.ZIP_DEFLATED) as bomb:
        for member in source.namelist():
            bomb.writestr(member, source.read(member))
    with pytest.raises(EspretError, match="unpacks to more"):
        read_tensors(tmp_path / "y")


def test_arrays_that_say_they_are_huge(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("x", (2**40,), "f4", chunks=(1024,))
    with pytest.raises(EspretError, match="'x' says that it has"):
        read_tensors(tmp_path / "x.h5")
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "<f4", "fortran_order": False, "shape": (2**40,)})
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("x.npy", head.getvalue())
    with pytest.raises(EspretError, match="damaged"):
        read_tensors(tmp_path / "x.npz")


def test_hdf5_that_points_to_other_files(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(64))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", (4,), "f8", external=[(str(tmp_path / "secret"), 0, 32)])
    with pytest.raises(EspretError, match="another file"):
        read_tensors(tmp_path / "a.h5")


# --- into a network


def renamed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + key: tensor for key, tensor in tensors.items()}


@pytest.mark.parametrize("prefix", ["", "module.", "module.audnet."])
@pytest.mark.parametrize("wrapper", ["", "model", "model_state_dict", "state_dict"])
def test_fills_a_network_with_and_without_wrapper_and_prefix(prefix: str, wrapper: str, tmp_path: Path) -> None:
    wanted = state()
    held = renamed(prefix, wanted)
    torch.save({wrapper: held, "epoch": 1} if wrapper else held, tmp_path / NAME)
    network = Tiny()
    provenance = load_checkpoint(network, tmp_path / NAME)
    equal(dict(network.state_dict()), wanted)
    assert provenance["checkpoint"] == NAME and provenance["tensors"] == len(wanted)
    assert len(provenance["sha256"]) == 64


@pytest.mark.parametrize("prefix", ["", "audnet.", "module.audnet.", "other."])
def test_a_network_whose_own_names_have_a_prefix(prefix: str, tmp_path: Path) -> None:
    network = nn.ModuleDict({"audnet": Tiny()})
    torch.save(renamed(prefix, state()), tmp_path / "x")
    load_checkpoint(network, tmp_path / "x")
    equal(dict(network["audnet"].state_dict()), state())


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_converted(kind: torch.dtype, tmp_path: Path) -> None:
    stored = {key: tensor.to(kind) if tensor.is_floating_point() else tensor for key, tensor in state().items()}
    save_file(stored, tmp_path / "x")
    network = Tiny()
    load_checkpoint(network, tmp_path / "x")
    equal(dict(network.state_dict()), {key: tensor.to(state()[key].dtype) for key, tensor in stored.items()})


def test_counters_of_batch_norms_may_be_missing(tmp_path: Path) -> None:
    stored = {key: tensor for key, tensor in state().items() if not key.endswith("num_batches_tracked")}
    save_npz(stored, tmp_path / "x.npz")
    network = Tiny()
    load_checkpoint(network, tmp_path / "x.npz")
    assert torch.equal(network.bn.running_var, stored["bn.running_var"])


@pytest.mark.parametrize("shape", [(4, 1), (1, 4)])
def test_a_vector_stored_as_a_column_or_a_row(shape: tuple[int, int], tmp_path: Path) -> None:
    torch.save({**state(), "bn.bias": state()["bn.bias"].reshape(shape)}, tmp_path / "x")
    network = Tiny()
    with pytest.raises(EspretError, match=r"bn.bias \[., .\] float32 instead of \[4\]"):
        load_checkpoint(network, tmp_path / "x")
    network.vectors = ("bn.bias",)
    load_checkpoint(network, tmp_path / "x")
    equal(dict(network.state_dict()), state())


def changed(**changes: Tensor | None) -> dict[str, Tensor]:
    found = {**state(), **{key.replace("__", "."): tensor for key, tensor in changes.items()}}
    return {key: tensor for key, tensor in found.items() if tensor is not None}


MISFITS: dict[str, tuple[dict[str, Tensor], list[str]]] = {
    "missing": (changed(fc__bias=None), ["1 missing (fc.bias)"]),
    "unknown": (changed(extra=torch.zeros(1)), ["1 not known (extra)"]),
    "shape": (changed(fc__weight=torch.zeros(4, 2)), ["fc.weight [4, 2] float32 instead of [2, 4] float32"]),
    "type": (changed(fc__bias=torch.zeros(2, dtype=torch.int8)), ["fc.bias [2] int8 instead of [2] float32"]),
    "all": ({"a.b.x": torch.zeros(2)}, ["8 missing", "1 not known (a.b.x)", "of another network"]),
    "no numbers": (changed(fc__bias=torch.zeros(2, device="meta")), ["fc.bias [2] float32 (sparse, quantised or"]),
    "nan": (changed(fc__bias=torch.tensor([1, torch.nan])), ["1 tensors hold NaN", "fc.bias"]),
    "other": (
        {key: tensor for key, tensor in state().items() if key.startswith("bn.")},
        ["4 missing (conv.weight, conv.bias, fc.weight, fc.bias)", "a variant of this network"],
    ),
    "another": (
        {"fc.bias": torch.zeros(2)},
        ["7 missing (conv.weight, conv.bias, bn.weight, bn.bias, bn.running_mean, ...)", "of another network"],
    ),
}


@pytest.mark.parametrize("kind", MISFITS)
def test_what_does_not_fit_is_named_and_changes_nothing(kind: str, tmp_path: Path) -> None:
    stored, words = MISFITS[kind]
    torch.save(stored, tmp_path / "x")
    network = Tiny()
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    with pytest.raises(EspretError) as caught:
        load_checkpoint(network, tmp_path / "x")
    for word in [str(tmp_path / "x"), *words]:
        assert word in str(caught.value)
    equal(dict(network.state_dict()), before)


def test_a_number_too_large_for_single_precision_is_named(tmp_path: Path) -> None:
    torch.save(changed(fc__bias=torch.tensor([1e300, 0], dtype=torch.float64)), tmp_path / "x")
    with pytest.raises(EspretError, match=r"Inf \(fc.bias\)"):
        load_checkpoint(Tiny(), tmp_path / "x")


def test_kerass_names(tmp_path: Path) -> None:
    names = {"z_dense/z_dense/kernel:0": (3, 2), "z_dense/z_dense/bias:0": (2,)}
    stored = {name: torch.from_numpy(value(name, shape)) for name, shape in names.items()}
    save_keras(stored, tmp_path / "x.h5")
    network = TinyKeras()
    load_checkpoint(network, tmp_path / "x.h5")
    assert torch.equal(network.fc.weight, stored["z_dense/z_dense/kernel:0"].T)
    torch.save(renamed("module.", dict(network.state_dict())), tmp_path / "converted.pt")
    load_checkpoint(TinyKeras(), tmp_path / "converted.pt")
    save_keras({"other/kernel:0": torch.zeros(2)}, tmp_path / "y.h5")
    with pytest.raises(EspretError, match=r"y.h5: its 1 tensors \(other/kernel:0\) are not those of TinyKeras"):
        load_checkpoint(TinyKeras(), tmp_path / "y.h5")


# --- by name


@pytest.fixture
def tiny_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A table with `tiny`, whose digest is not known, and `known`; returns where the file of `tiny` is to lie."""
    torch.save({"x": torch.zeros(3)}, tmp_path / "known.pth")
    digest = published.file_digest(tmp_path / "known.pth", "sha256")
    rest = "MIT\t16000\t1\t2\tone\tme/mine"
    table = f"name\ntiny\thttp://x/y/t%20y.pth\t-\t-\t{rest}\nknown\thttp://x/k.pth\t-\tsha256-prefix:{digest[:8]}\t{rest}\n"
    (tmp_path / "networks.tsv").write_text(table, encoding="utf-8")
    monkeypatch.setattr(published, "TABLE", tmp_path / "networks.tsv")
    monkeypatch.setenv("ESPRET_CHECKPOINTS", str(tmp_path / "my checkpoints"))
    monkeypatch.setattr(checkpoint, "FRONTENDS", Registry("front end", {"tiny": f"{__name__}:TinyExtractor"}))
    return tmp_path / "my checkpoints" / "tiny" / "t y.pth"


def test_which_file_a_checkpoint_means(tiny_published: Path, tmp_path: Path) -> None:
    assert checkpoint_path("tiny", "random") is None
    with pytest.raises(EspretError, match="mend: espret fetch-checkpoint tiny"):
        checkpoint_path("tiny", "official")
    with pytest.raises(EspretError, match="no checkpoint .*nowhere"):
        checkpoint_path("tiny", str(tmp_path / "nowhere"))
    with pytest.raises(EspretError, match="'tinny'; did you mean 'tiny'"):
        checkpoint_path("tinny", "official")
    tiny_published.parent.mkdir(parents=True)
    tiny_published.write_bytes(b"")
    assert checkpoint_path("tiny", "official") == tiny_published
    assert checkpoint_path("tiny", str(tiny_published)) == tiny_published


def test_random_weights_are_those_of_seed_0_and_say_so(tiny_published: Path) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, provenance = load_network("tiny", "random", Tiny)
    assert provenance == {"checkpoint": "random"} and torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    equal(dict(load_network("tiny", "random", Tiny)[0].state_dict()), dict(first.state_dict()))


def test_a_published_network_by_name(tiny_published: Path, tmp_path: Path) -> None:
    torch.save(state(), tmp_path / "x")
    extractor = load_checkpoint("tiny", tmp_path / "x")
    assert isinstance(extractor, TinyExtractor) and not extractor.training and extractor.sample_rate == 16000
    equal(dict(extractor.network.state_dict()), state())
    assert extractor.provenance["checkpoint"] == "x"


def test_a_published_file_given_to_another_network_is_recognised(tiny_published: Path, tmp_path: Path) -> None:
    with pytest.raises(EspretError, match="it is the file of known"):
        load_checkpoint(Tiny(), tmp_path / "known.pth")
    with pytest.raises(EspretError, match="it is the file of known"):
        load_checkpoint(TinyKeras(), tmp_path / "known.pth")


# --- the table


def test_the_table_of_networks() -> None:
    rows = published.table()
    assert {"cnn10", "cnn14", "resnet38", "vggish", "vggish_pca", "vggsound_h", "vggsound_i", "yamnet", "openl3"} < set(
        rows
    )
    assert {"coala_dual_ae_c", "coala_dual_e_c", "coala_cnn", "passt_n", "passt_s", "passt_l", "passt_s20"} < set(rows)
    assert len({row.url for row in rows.values()}) == len(rows)
    for name, row in rows.items():
        assert row.name == name and row.url.startswith(("https://", "http://www.robots.ox.ac.uk/")), name
        assert row.licence and row.frames and "/" in row.source and min(row.sample_rate, row.hop_seconds, row.dim) > 0
        assert row.path.suffix in (".pth", ".pt", ".h5", ".tar") and row.path.parent.name == name
        if row.digest is not None:
            kind, _, digits = row.digest.partition(":")
            assert len(digits) == {"md5": 32, "sha256": 64, "sha256-prefix": 8}[kind] and int(digits, 16) > 0


def test_the_files_are_called_as_in_the_layouts() -> None:
    files = {row.path.name for row in published.table().values()}
    layouts = json.loads((SMALL / "keys.json").read_text(encoding="utf-8"))
    assert {entry["file"] for entry in layouts.values()} - files == {"yamnet.pth"}  # a port of others


# --- tests/audio/filled.py


def test_the_fill_rule() -> None:
    wanted: dict[tuple[str, tuple[int, ...]], float] = {
        ("bn0.num_batches_tracked", ()): 0.0,
        ("a.running_var", (3,)): 0.6018518209457397,
        ("b/moving_mean:0", (3,)): 0.06885829567909241,
        ("c.bias", (3,)): 0.005763398949056864,
        ("bn.weight", (3,)): 1.0324572324752808,
        ("x.layer1.0.bn2.weight", (3,)): 0.2896757125854492,
        ("cls_token", (1, 1, 3)): 0.2012702375650406,
        ("time_new_pos_embed", (1, 2, 1, 3)): -0.029476527124643326,
        ("conv.weight", (4, 3, 2, 2)): 0.5716512799263,
        ("l/kernel:0", (3, 3, 2, 4)): 0.021396955475211143,
        ("l/depthwise_kernel:0", (3, 3, 2, 1)): -0.7528855800628662,
        ("audnet.avgpool.conv.weight", (4, 3, 1, 1)): -21.88783073425293,
        ("audnet.fc_.weight", (4, 3)): 48.670223236083984,
        ("fc_audioset.weight", (4, 3)): -0.003116116626188159,
    }
    for (key, shape), number in wanted.items():
        assert float(value(key, shape).ravel()[0]) == pytest.approx(number, rel=1e-6), key
    sums = {"mix": 2570161759, "silence": 982225854, "clip": 399795348, "gap": 4197004404}
    for kind, crc in sums.items():
        assert zlib.crc32(wave_i16(3, 2000, 22000, kind).tobytes()) == crc, kind


def test_the_goldens_signals_and_comparison() -> None:
    index = json.loads((SMALL / "index.json").read_text(encoding="utf-8"))
    for name in index:
        found = golden(name.removesuffix(".npz"))
        for case, facts in found.cases.items():
            assert found.wave(case).shape == (facts["n"],)
        assert (SMALL / name).stat().st_size < 60_000
    silence = golden("front_panns")
    full = np.full(silence.arrays["c_logmel"]["full_shape"], -100.0)
    silence.check({"logmel": full}, "c")
    for wrong in (full + 0.01, np.where(full < 0, np.nan, 0)):
        with pytest.raises(AssertionError, match="c_logmel"):
            silence.check({"logmel": wrong}, "c")
    with pytest.raises(AssertionError, match="expected"):
        silence.check({"logmel": full[:-1]}, "c")
    with pytest.raises(AssertionError, match="not checked"):
        silence.check({"other": full}, "c")
    assert layout("vggish_pca") == {"pca_eigen_vectors": (128, 128), "pca_means": (128,)}
    assert set(tensors("vggish_pca")) == set(layout("vggish_pca"))
