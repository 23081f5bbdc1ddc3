"""`espret doctor`: what is there, what is missing, and the command that mends it."""

import importlib.metadata

import pytest

from espret import doctor, mending
from espret.bin import main


def printed(capsys, status):
    assert main(["doctor"]) == status
    return capsys.readouterr().out


def test_what_is_installed(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "spice", lambda: doctor.Finding("ok", "SPICE", "there"))
    out = printed(capsys, 0)
    assert "torch 2." in out and "wav, flac, ogg, mp3" in out and "all that the recipes need is here" in out


def test_spice_is_missing(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("ESPRET_SPICE", str(tmp_path))
    out = printed(capsys, 1)
    assert f"MISSING   SPICE: no parser in {tmp_path}" in out
    assert "mend: " in out and out.endswith("1 missing\n") and f"mend: {mending.spice()}\n" in out


def test_fense_is_optional(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "spice", lambda: doctor.Finding("ok", "SPICE", "there"))
    monkeypatch.setenv("ESPRET_FENSE", str(tmp_path))
    out = printed(capsys, 0)
    assert f"optional  FENSE's networks: none in {tmp_path}; SBERT, FER, FENSE and SPIDEr-FL are unavailable" in out
    assert f"mend: {mending.fense()}\n" in out
    (tmp_path / "installed.json").write_text("{}")
    assert "ok        FENSE's networks: Sentence-BERT and the detector" in printed(capsys, 0)


def test_youtube_is_optional(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(doctor.sys, "executable", str(tmp_path / "python3"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert doctor.youtube().found == "no yt-dlp and no ffmpeg, which --youtube true needs"
    for name in ("yt-dlp", "ffmpeg"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    assert doctor.youtube() == doctor.Finding("ok", "YouTube", "yt-dlp and ffmpeg")


def test_a_package_is_missing_or_another_version(monkeypatch):
    version = importlib.metadata.version

    def fake(name):
        if name == "kaldiio":
            raise importlib.metadata.PackageNotFoundError(name)
        return "0.0.1" if name == "scipy" else version(name)

    monkeypatch.setattr(importlib.metadata, "version", fake)
    findings = {finding.what: finding for finding in doctor.packages()}
    assert findings["kaldiio"].kind == "missing" and findings["kaldiio"].mend == mending.packages("kaldiio")
    assert findings["scipy"].kind == "optional" and "0.0.1; tested with" in findings["scipy"].found


def test_imported_but_not_installed(monkeypatch):
    def unknown(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", unknown)
    (finding,) = doctor.packages()
    assert finding.kind == "missing" and "pip install --editable" in finding.mend


def test_every_requirement_is_pinned():
    names = [finding.what for finding in doctor.packages() if finding.kind != "ok"]
    pins = mending.pinned()
    assert pins["torch"] and pins["torch"] == pins["torchaudio"]
    assert names == [], "the tests run with the tested versions"


@pytest.mark.parametrize("words, status", [([], 2), (["--help"], 0), (["docter"], 2)])
def test_the_command_line(words, status, capsys):
    assert main(words) == status
    printed = capsys.readouterr()
    assert "doctor" in printed.out + printed.err
    if words == ["docter"]:
        assert "did you mean 'doctor'?" in printed.err
