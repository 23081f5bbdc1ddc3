"""A corpus' files end to end: from archives of every state, and from a server that misbehaves."""

from __future__ import annotations

import errno
import hashlib
import multiprocessing
import os
import re
import signal
import time
import zipfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest
from web_server import Web, serving

from espret.data.corpus import Asked
from espret.data.sources.sources import Sources
from espret.disk import writing
from espret.download import NotThere, Remote, fetch
from espret.errors import EspretError

AUDIO, CAPTIONS, OLD = (
    "v2.1/clotho_audio_development.7z",
    "v2.1/clotho_captions_development.csv",
    "v2/clotho_audio_development.7z",
)
EVALUATION = ("v2/clotho_audio_evaluation.7z", "v2.1/clotho_audio_evaluation.7z")
FILES = {
    AUDIO: os.urandom(200_000),
    OLD: os.urandom(150_000),
    CAPTIONS: b"file_name,caption_1\r\na.wav,A dog barks\r\n",
    **dict.fromkeys(EVALUATION, os.urandom(1000)),
}
NONE = "v2.1/tags.csv"  # in the table, but not on the server
WHERE = "/record/4783391/files/{}?download=1"


def md5(content: bytes) -> str:
    return f"md5:{hashlib.md5(content).hexdigest()}"


def address(name: str) -> str:
    return WHERE.format(name)


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    """The server with the official files; it is not waited for long."""
    monkeypatch.setattr("espret.data.sources.sources.fetch", partial(fetch, timeout=0.4, pauses=(0.0, 0.0, 0.0)))
    with serving() as made:
        made.files.update({address(name): content for name, content in FILES.items()})
        yield made


def write_table(path: Path, web: Web, files: dict[str, bytes], **changed: Remote) -> Path:
    rows = {name: Remote(web.url + address(name), len(content), md5(content)) for name, content in files.items()}
    lines = ["name\turl\tbytes\tdigest"]
    for name, row in {**rows, **changed}.items():
        lines.append("\t".join([name, row.url or "-", "-" if row.size is None else str(row.size), row.digest or "-"]))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


class Place:
    """A folder with a table of the served files, an archives folder and what is asked."""

    def __init__(self, root: Path, web: Web) -> None:
        self.root, self.web = root / "ein 'böser' Ordner", web
        self.archives = self.root / "my archives"
        self.archives.mkdir(parents=True)
        self.downloads = self.root / "downloads"
        self.base = self.downloads / "clotho"
        self.table = write_table(self.root / "clotho.tsv", web, FILES, **{NONE: Remote(f"{web.url}/none")})

    def sources(self, archives: bool = True, own: Path | None = None) -> Sources:
        asked = Asked(("train",), downloads=self.downloads, archives=self.archives if archives else None, sources=own)
        return Sources("clotho", asked, self.table)

    def put(self, name: str, content: bytes, at: str = "") -> Path:
        path = self.archives / (at or name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path


@pytest.fixture
def place(tmp_path: Path, web: Web) -> Place:
    return Place(tmp_path, web)


def unhashed(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on nothing may be hashed."""
    monkeypatch.setattr("espret.data.sources.verified.difference", None)
    monkeypatch.setattr("espret.download.file_digest", None)


def test_downloads_once_and_hashes_once(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    path = place.sources().get(AUDIO)
    assert path == place.base / AUDIO and path.read_bytes() == FILES[AUDIO]
    unhashed(monkeypatch)
    assert place.sources().get(AUDIO) == path and len(place.web.requests) == 1
    assert not list(place.archives.iterdir())


def test_a_changed_file_is_verified_again(place: Place) -> None:
    path = place.sources().get(AUDIO)
    time.sleep(0.01)
    path.write_bytes(bytes(len(FILES[AUDIO])))
    with pytest.raises(EspretError, match="it is damaged, changed"):
        place.sources().get(AUDIO)
    assert path.read_bytes() == bytes(len(FILES[AUDIO]))


def test_a_damaged_record_is_no_harm(place: Place) -> None:
    path = place.sources().get(AUDIO)
    for text in ("{", "[]", '{"x": 1}'):
        (place.base / "verified.json").write_text(text)
        assert place.sources().get(AUDIO) == path


@pytest.mark.parametrize(
    "faults, ranges",
    [
        (["cut 50000"], ["", "bytes=50000-"]),
        (["stall 50000"], ["", "bytes=50000-"]),
        (["500", "502", "503 Retry-After: 0"], [""] * 4),
        (["cut 50000", "whole"], ["", "bytes=50000-"]),
        (["wrong"], ["", ""]),
        (["length 200001"], [""]),
    ],
)
def test_a_server_that_misbehaves(
    place: Place, faults: list[str], ranges: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    place.web.faults[address(AUDIO)] = list(faults)
    assert place.sources().get(AUDIO).read_bytes() == FILES[AUDIO]
    if faults != ["length 200001"]:
        assert [asked for _, asked in place.web.requests] == ranges
    assert capfd.readouterr().err.count("clotho: http") == len([fault for fault in faults if fault != "whole"])
    assert sorted(os.listdir(place.base)) == ["v2.1", "verified.json"]


def test_pauses_grow(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("espret.data.sources.sources.fetch", fetch)
    monkeypatch.setattr("espret.download.time.sleep", slept.append)
    place.web.faults[address(AUDIO)] = ["500", "502", "504"]
    place.sources().get(AUDIO)
    assert slept == [1, 4, 15]


@pytest.mark.parametrize(
    "faults, message", [(["wrong"] * 2, "another file"), (["403"], "HTTP 403"), (["404"], "HTTP 404")]
)
def test_what_cannot_be_had_leaves_nothing(place: Place, faults: list[str], message: str) -> None:
    place.web.faults[address(AUDIO)] = faults
    with pytest.raises(EspretError) as error:
        place.sources().get(AUDIO)
    for part in (
        message,
        place.web.url,
        f"nor is there {place.archives / AUDIO} or {place.archives}/clotho_audio",
        "mend: ",
    ):
        assert part in str(error.value)
    assert not [path for path in place.base.rglob("*") if path.is_file()]
    with pytest.raises(NotThere, match="mend: name a folder that has it with --archives"):
        place.sources(archives=False).get(NONE)


def test_an_interrupted_download_goes_on(place: Place) -> None:
    place.web.faults[address(AUDIO)] = ["stall 60000"]
    child = multiprocessing.get_context("fork").Process(target=_get_patiently, args=(place,))
    child.start()
    part, until = place.base / "v2.1/.clotho_audio_development.7z.part", time.monotonic() + 20
    while time.monotonic() < until and not (part.exists() and part.stat().st_size == 60_000):
        time.sleep(0.01)
    os.kill(child.pid or 0, signal.SIGINT)
    child.join()
    assert child.exitcode == 130 and part.read_bytes() == FILES[AUDIO][:60_000]
    assert not (place.base / AUDIO).exists() and not place.sources().has(AUDIO)
    assert place.sources().get(AUDIO).read_bytes() == FILES[AUDIO]
    assert place.web.requests[-1][1] == "bytes=60000-" and not part.exists()


def _get_patiently(place: Place) -> None:
    import espret.data.sources.sources

    espret.data.sources.sources.fetch = fetch
    try:
        place.sources().get(AUDIO)
    except KeyboardInterrupt:
        os._exit(130)


@pytest.mark.parametrize("at", [AUDIO, Path(AUDIO).name])
def test_archives_come_first_and_are_only_read(place: Place, at: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = place.put(AUDIO, FILES[AUDIO], at)
    assert place.sources().has(AUDIO) and not place.sources().has(CAPTIONS)
    assert place.sources().get(AUDIO) == path
    assert [one for one in place.archives.rglob("*") if one.is_file()] == [path]
    unhashed(monkeypatch)
    assert place.sources().get(AUDIO) == path and not place.web.requests


def test_what_the_archives_lack_is_downloaded(place: Place) -> None:
    place.put(AUDIO, FILES[AUDIO])
    assert place.sources().get(CAPTIONS) == place.base / CAPTIONS


def test_a_file_of_another_version(place: Place) -> None:
    """Zenodo's records have the same file names in them; a folder of downloads may hold either."""
    path = place.put(OLD, FILES[OLD], Path(OLD).name)
    with pytest.raises(EspretError) as error:
        place.sources().get(AUDIO)
    for part in (
        f"not the file {AUDIO}",
        md5(FILES[OLD]),
        "150000 bytes",
        md5(FILES[AUDIO]),
        f"it is {OLD}",
        "--variant",
    ):
        assert part in str(error.value)
    assert place.sources().get(OLD) == path and path.read_bytes() == FILES[OLD]
    right = place.put(AUDIO, FILES[AUDIO])
    assert (place.sources().get(AUDIO), place.sources().get(OLD)) == (right, path)


def test_versions_share_a_file(place: Place) -> None:
    path = place.put(EVALUATION[1], FILES[EVALUATION[1]])
    assert place.sources().get(EVALUATION[0]) == path and not place.web.requests


def test_a_name_that_nothing_tells_apart(place: Place) -> None:
    """Of two versions without digests and sizes a flat folder does not say which it holds."""
    unknown = {name: Remote(place.web.url + address(name)) for name in (AUDIO, OLD)}
    place.table = write_table(place.root / "x.tsv", place.web, {}, **unknown)
    place.put(AUDIO, b"which?", Path(AUDIO).name)
    assert place.sources().get(AUDIO) == place.base / AUDIO
    path = place.put(OLD, b"the old one")
    assert place.sources().get(OLD) == path


@pytest.mark.parametrize(
    "content, cause",
    [
        (FILES[AUDIO][:1000], "1000 bytes, .*; expected 200000 bytes, md5:.*; it is cut off"),
        (b"\xef\xbb\xbf\n<!DOCTYPE html>", "it is a web page"),
        (b"", "0 bytes, .*it is empty"),
        (FILES[AUDIO][:-1] + b"?" * 2, "it is damaged, changed, or of another version"),
    ],
)
def test_a_wrong_file_is_described_and_kept(place: Place, content: bytes, cause: str) -> None:
    path = place.put(AUDIO, content)
    with pytest.raises(
        EspretError, match=f"^{re.escape(str(path))}: not the file {AUDIO}: .*{cause}.*mend: mv -- "
    ) as error:
        place.sources().get(AUDIO)
    assert md5(content) in str(error.value) and md5(FILES[AUDIO]) in str(error.value)
    assert path.read_bytes() == content and not place.web.requests
    # What the message says to do works as it stands in a shell.
    command = str(error.value).split("mend: ")[1].split("; then")[0]
    assert os.system(command) == 0
    assert place.sources().get(AUDIO) == place.base / AUDIO


def test_a_text_with_other_line_ends_is_accepted_with_a_note(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    path = place.put(CAPTIONS, FILES[CAPTIONS].replace(b"\r\n", b"\n"))
    assert place.sources().get(CAPTIONS) == path
    assert f"{path}: has other line ends than {CAPTIONS}, and is it with CRLF: accepted" in capsys.readouterr().err
    assert place.sources().get(CAPTIONS) == path and not capsys.readouterr().err
    unix = FILES[CAPTIONS].replace(b"\r\n", b"\n")
    place.table = write_table(place.root / "x.tsv", place.web, {CAPTIONS: unix})
    place.put(CAPTIONS, FILES[CAPTIONS] + b"")
    os.utime(path, (1, 1))
    assert place.sources().get(CAPTIONS) == path and "with LF: accepted" in capsys.readouterr().err


def test_no_address_and_no_server(place: Place) -> None:
    place.table = write_table(place.root / "x.tsv", place.web, {}, **{AUDIO: Remote("")})
    with pytest.raises(
        EspretError, match=f"{AUDIO} of clotho has no public address; mend: put the file there as .*{AUDIO} or "
    ):
        place.sources().get(AUDIO)
    with serving() as gone:
        table = {AUDIO: Remote(f"{gone.url}/x", None, md5(b"x"))}
    place.table = write_table(place.root / "x.tsv", place.web, {}, **table)
    with pytest.raises(
        EspretError, match="could not fetch .*nor is there .*mend: put the file there as .*or run again"
    ):
        place.sources().get(AUDIO)


def test_a_full_disk_is_all_that_is_said(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> Path:
        with writing(place.base):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("espret.data.sources.sources.fetch", full)
    with pytest.raises(EspretError, match="downloads/clotho: No space left on device; [0-9.]+ .B free; mend: [^;]*$"):
        place.sources().get(AUDIO)


def test_what_does_not_exist(place: Place) -> None:
    with pytest.raises(EspretError, match=r"clotho has no 'v2.1/clotho_captions.csv'; did you mean"):
        place.sources().get("v2.1/clotho_captions.csv")
    place.archives.rmdir()
    with pytest.raises(EspretError, match="my archives: no such folder; .*--archives"):
        place.sources()


def test_a_table_of_ones_own(place: Place) -> None:
    """It replaces rows of the real table; what it brings lies apart, and lists that differ are known to be own."""
    other = {AUDIO: b"other", CAPTIONS: b"my own list"}
    place.web.files.update({address(name): content for name, content in other.items()})
    own = write_table(place.root / "own.tsv", place.web, other)
    sources = Sources("clotho", Asked((), downloads=place.downloads, sources=own))
    assert sources.own([OLD, CAPTIONS]) and not sources.own([OLD])
    assert sources.get(CAPTIONS) == place.base / "own" / CAPTIONS and sources.get(AUDIO).read_bytes() == b"other"
    assert not place.sources(own=write_table(place.root / "mirror.tsv", place.web, FILES)).own(FILES)
    with pytest.raises(EspretError, match="no corpus has a file 'v2.1/clotho_captions.csv'; did you mean"):
        place.sources(own=write_table(place.root / "own.tsv", place.web, {"v2.1/clotho_captions.csv": b""}))


def test_what_is_to_be_downloaded_is_said_first(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place.put(OLD, FILES[OLD])
    place.sources().announce([AUDIO, CAPTIONS, OLD, NONE])
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"clotho: files to download to {place.base}: 3, 200 kB and 1 of unknown size"
    assert lines[1] == f"clotho:   {AUDIO}, 200 kB, {place.web.url}{address(AUDIO)}" and len(lines) == 4
    monkeypatch.setattr("espret.data.sources.sources.free_bytes", lambda folder: 1_000_150_000)
    with pytest.raises(
        EspretError,
        match=r"downloads/clotho: 1.0 GB free; expected 1.0 GB for the files of clotho; mend: .*--downloads",
    ):
        place.sources().announce([AUDIO])
    # With the half that is there already it fits.
    (place.base / "v2.1").mkdir(parents=True)
    (place.base / "v2.1/.clotho_audio_development.7z.part").write_bytes(FILES[AUDIO][:100_000])
    place.sources().announce([AUDIO])
    place.sources().get(AUDIO)
    capsys.readouterr()
    place.sources().announce([AUDIO])
    assert not capsys.readouterr().err


@pytest.fixture
def extractions(place: Place, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that gets a line for each extraction; the archives are zips."""
    from espret.data.archives import extract as module

    log, extract = place.root / "log", module.extract

    def counting(archive: Path | Sequence[Path], target: Path) -> int:
        with open(log, "a") as stream:
            print(target.name, file=stream)
        time.sleep(0.05)
        return extract(archive, target)

    log.touch()
    monkeypatch.setattr(module, "extract", counting)
    return log


def zipped(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("development/ a & b .wav", content)
    return path


def zip_table(place: Place, digest: bool = True) -> None:
    path = place.archives / "a.zip"
    row = Remote("", None, md5(path.read_bytes()) if digest else None)
    place.table = write_table(place.root / "zip.tsv", place.web, {}, **{"a.zip": row})


@pytest.mark.parametrize("digest", [True, False])
def test_an_archive_is_extracted_once(place: Place, extractions: Path, digest: bool) -> None:
    archive = zipped(place.archives / "a.zip", b"one")
    zip_table(place, digest)
    folder = place.sources().folder("a.zip", "v2/dev 1")
    assert folder == place.base / "v2/dev 1"
    assert (folder / "development/ a & b .wav").read_bytes() == b"one"
    assert place.sources().folder(["a.zip"], "v2/dev 1") == folder
    assert extractions.read_text().count("\n") == 1
    zipped(archive, b"another")
    zip_table(place, digest)
    place.sources().folder("a.zip", "v2/dev 1")
    assert (folder / "development/ a & b .wav").read_bytes() == b"another"
    # The archive may go once it is extracted, and is not called missing then.
    archive.unlink()
    assert place.sources().folder("a.zip", "v2/dev 1") == folder
    assert extractions.read_text().count("\n") == 2
    assert sorted(os.listdir(folder.parent)) == [".espret", "dev 1"]


def test_an_extracted_archive_is_not_announced(
    place: Place, extractions: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = zipped(place.root / "x.zip", b"one")
    place.web.files[address("a.zip")] = archive.read_bytes()
    place.table = write_table(place.root / "zip.tsv", place.web, {"a.zip": archive.read_bytes()})
    place.sources().folder("a.zip", "dev")
    (place.base / "a.zip").unlink()
    capsys.readouterr()
    place.sources().announce(["a.zip"])
    assert not capsys.readouterr().err


def test_a_folder_that_is_not_ours_is_left_alone(place: Place, extractions: Path) -> None:
    zipped(place.archives / "a.zip", b"one")
    zip_table(place)
    (place.base / "dev").mkdir(parents=True)
    (place.base / "dev/mine").touch()
    with pytest.raises(EspretError, match="clotho/dev: is there, but not by espret; .*mend: move it away"):
        place.sources().folder("a.zip", "dev")
    assert [path.name for path in (place.base / "dev").iterdir()] == ["mine"]
    assert not extractions.read_text()


def test_a_broken_extraction_is_begun_anew(place: Place, extractions: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zipped(place.archives / "a.zip", b"one")
    zip_table(place)
    for broken in ("espret.data.sources.extracted.write_json", "espret.data.sources.extracted.os.replace"):
        with monkeypatch.context() as patched:
            patched.setattr(broken, _interrupt)
            with pytest.raises(KeyboardInterrupt):
                place.sources().folder("a.zip", "dev")
        assert not (place.base / "dev").exists()
    assert list(place.sources().folder("a.zip", "dev").iterdir())


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_two_processes_extract_once(place: Place, extractions: Path) -> None:
    zipped(place.archives / "a.zip", b"one")
    zip_table(place)
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=place.sources().folder, args=("a.zip", "dev")) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0] and extractions.read_text().count("\n") == 1


@pytest.mark.skipif("ESPRET_TEST_DATA" not in os.environ, reason="needs the real captions (ESPRET_TEST_DATA)")
def test_the_real_captions_are_those_of_the_table(tmp_path: Path) -> None:
    root = Path(os.environ["ESPRET_TEST_DATA"]) / "csv"
    for version in ("v1", "v2.1"):
        sources = Sources("clotho", Asked((), downloads=tmp_path, archives=root / f"clotho_{version}"))
        for path in sorted((root / f"clotho_{version}").glob("clotho_captions_*.csv")):
            assert sources.get(f"{version}/{path.name}") == path
