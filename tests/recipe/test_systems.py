"""The systems of a run, for the shell: their features, what these are imported from, the weights they are made with."""

import pytest
import yaml

from espret.audio.published import published
from espret.errors import EspretError
from espret.recipe.systems import main, system_rows


def row(folder, frontend):
    path = folder / "my_system.yaml"
    path.write_text(yaml.safe_dump({"features": {"name": "f", "frontend": frontend}, "text": {"name": "t"}}))
    (found,) = system_rows("retrieval", str(path))
    assert found[:5] == ["retrieval", "my_system", str(path), "f", "t"]
    return found[5:]


def test_a_front_end_has_neither_file_nor_weights(tmp_path):
    assert row(tmp_path, {"type": "logmel"}) == ["-", "-", "-"]


def test_imported_features(tmp_path, capsys):
    assert row(tmp_path, {"type": "imported", "file": "a b.npz", "expert": "vggish"}) == ["a b.npz", "vggish", "-"]
    assert row(tmp_path, {"type": "imported", "file": "x.pkl"}) == ["x.pkl", "-", "-"]
    for wrong, message in (
        ({"fiel": "x"}, "did you mean 'file'"),
        ({}, "expected file"),
        ({"file": 3}, "expected file"),
    ):
        with pytest.raises(EspretError, match=message):
            row(tmp_path, {"type": "imported", **wrong})
    assert main(["retrieval", str(tmp_path / "none.yaml")]) == 1 and "no such file" in capsys.readouterr().err


def test_weights_of_a_network(tmp_path, monkeypatch):
    monkeypatch.setenv("ESPRET_CHECKPOINTS", str(tmp_path / "weights"))
    assert row(tmp_path, {"type": "cnn14"}) == ["-", "-", "-"]  # stage 1 says how to get them
    official = published("cnn14").path
    official.parent.mkdir(parents=True)
    official.write_bytes(b"")
    assert row(tmp_path, {"type": "cnn14"})[2] == str(official)
    assert row(tmp_path, {"type": "cnn14", "checkpoint": "random"})[2] == "-"
    own = tmp_path / "my weights.pth"
    own.write_bytes(b"")
    assert row(tmp_path, {"type": "cnn14", "checkpoint": str(own)})[2] == str(own)
