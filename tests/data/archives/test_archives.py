"""Archives of every format come out whole, or not at all: hostile, damaged, cut off, with a full disk, killed."""

from __future__ import annotations

import errno
import fcntl
import io
import multiprocessing
import os
import random
import resource
import signal
import stat
import struct
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import py7zr
import pytest

from espret.data.archives import extract as archives
from espret.data.archives.extract import Contents, Writer, extract, inner_path, is_archive
from espret.data.archives.formats import Damaged, Member
from espret.errors import EspretError

FORMATS = ["7z", "zip", "tar", "tar.gz", "tar.bz2", "tar.xz"]
Files = Mapping[str, bytes]
FILES = {"development/a.wav": b"sound" * 500, "development/ b .wav": b"", "list.csv": os.urandom(3000)}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "ein 'böser' ; \"Ordner\""
    folder.mkdir()
    return folder


def make(path: Path, files: Files) -> Path:
    """An archive of the format that its name says, with folders as members where the format has them."""
    if path.suffix == ".7z":
        with py7zr.SevenZipFile(path, "w", filters=[{"id": py7zr.FILTER_LZMA2, "preset": 1}]) as seven_zip:
            for name, content in files.items():
                seven_zip.writestr(content, name)
    elif path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
    else:
        make_tar(path, [entry(name, content) for name, content in files.items()])
    return path


def entry(name: str, content: bytes = b"", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, content


def make_tar(path: Path, entries: list[tuple[tarfile.TarInfo, bytes]]) -> Path:
    kind = path.suffix.removeprefix(".")
    with tarfile.open(path, "w" if kind == "tar" else f"w:{kind}") as archive:  # type: ignore[call-overload]
        for info, content in entries:
            archive.addfile(info, io.BytesIO(content))
    return path


def make_7z(path: Path, files: Files, patches: Mapping[bytes, bytes] | None = None) -> Path:
    """A 7z whose list of members is not compressed, nor is what it holds; bytes of that list are replaced."""
    with py7zr.SevenZipFile(path, "w", filters=[{"id": py7zr.FILTER_COPY}]) as archive:
        archive.set_encoded_header_mode(False)
        for name, content in files.items():
            archive.writestr(content, name)
    return patch_7z(path, patches or {})


def patch_7z(path: Path, patches: Mapping[bytes, bytes]) -> Path:
    """Replace bytes of the list of members, and its check sums."""
    data = bytearray(path.read_bytes())
    offset, size = struct.unpack_from("<2Q", data, 12)
    listed = bytes(data[32 + offset : 32 + offset + size])
    for old, new in patches.items():
        assert len(old) == len(new) and listed.count(old) == 1
        listed = listed.replace(old, new)
    data[32 + offset :] = listed
    struct.pack_into("<L", data, 28, zlib.crc32(listed))
    struct.pack_into("<L", data, 8, zlib.crc32(data[12:32]))
    path.write_bytes(data)
    return path


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(archive: Path, text: str) -> str:
    """The message with which extracting ends, which leaves nothing behind."""
    before = sorted(archive.parent.iterdir())
    with pytest.raises(EspretError) as caught:
        extract(archive, archive.parent / "out")
    message = str(caught.value)
    assert str(archive) in message and text in message and "mend:" in message
    assert sorted(archive.parent.iterdir()) == before
    return message


@pytest.mark.parametrize("kind", FORMATS)
def test_all_files_come_out(place: Path, kind: str) -> None:
    said: list[str] = []
    assert extract(make(place / f"x y.{kind}", FILES), place / "new" / "out", said.append) == 3
    assert content(place / "new" / "out") == FILES
    assert [path.name for path in (place / "new").iterdir()] == ["out"]
    assert len(said) == 1 and f"x y.{kind}" in said[0]


@pytest.mark.parametrize("kind", FORMATS)
def test_names_of_every_kind_come_out_exactly(place: Path, odd_names: list[str], kind: str) -> None:
    names = [
        *odd_names,
        " both .wav",
        "&quot;Cat Bites&quot; .wav",
        "a: b.wav",
        "'",
        "n" * 200,
        "e\u0301",
        "\u00e9",
        "\n",
    ]
    names += [] if kind == "7z" else ["back\\slash.wav"]
    files = {f"test/ {name}": name.encode() for name in names} | {f"test/{name}/x": b"" for name in names}
    assert extract(make(place / f"x.{kind}", files), place / "out") == len(files)
    assert content(place / "out") == files


def test_names_that_are_not_utf8(place: Path) -> None:
    make_tar(place / "x.tar", [entry("M\udcf6we", b"1")])
    extract(place / "x.tar", place / "tar")
    assert os.listdir(os.fsencode(place / "tar")) == [b"M\xf6we"]
    make(place / "x.zip", {"M_we": b"1"})
    data = (place / "x.zip").read_bytes()
    (place / "x.zip").write_bytes(data.replace(b"M_we", b"M\x94we"))  # code page 437, without the flag for UTF-8
    extract(place / "x.zip", place / "zip")
    assert os.listdir(place / "zip") == ["Möwe"]


def test_folders_are_members_too(place: Path) -> None:
    make_tar(place / "x.tar", [entry("./", type=tarfile.DIRTYPE), entry("./a/b", type=tarfile.DIRTYPE), entry("./a/f")])
    assert extract(place / "x.tar", place / "tar") == 1
    with zipfile.ZipFile(place / "x.zip", "w") as archive:
        archive.writestr("a/b/", b"")
        archive.writestr("a/f", b"")
    assert extract(place / "x.zip", place / "zip") == 1
    (place / "src" / "a" / "b").mkdir(parents=True)
    (place / "src" / "a" / "f").touch()
    with py7zr.SevenZipFile(place / "x.7z", "w") as seven_zip:
        seven_zip.writeall(place / "src" / "a", "a")
    assert extract(place / "x.7z", place / "7z") == 1
    for kind in ("tar", "zip", "7z"):
        assert (place / kind / "a" / "b").is_dir() and (place / kind / "a" / "f").is_file()


def test_modes_of_an_archive_are_not_taken_over(place: Path) -> None:
    make_tar(place / "x.tar", [entry("d", type=tarfile.DIRTYPE, mode=0), entry("d/f", b"1", mode=0o6777)])
    with zipfile.ZipFile(place / "x.zip", "w") as archive:
        info = zipfile.ZipInfo("d/f")
        info.external_attr = 0o106777 << 16
        archive.writestr(info, b"1")
    umask = os.umask(0o027)
    try:
        for kind in ("tar", "zip"):
            extract(place / f"x.{kind}", place / kind)
    finally:
        os.umask(umask)
    for kind in ("tar", "zip"):
        assert stat.S_IMODE((place / kind / "d" / "f").stat().st_mode) == 0o640
        assert stat.S_IMODE((place / kind / "d").stat().st_mode) == 0o750


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "a/..", "/evil", "//evil", "."])
def test_a_name_that_leads_elsewhere_is_refused(place: Path, kind: str, name: str) -> None:
    archive = make(place / f"x.{kind}", {"good": b"1", name: b"2"})
    assert repr(name) in refused(archive, "nothing was extracted")
    assert not (place / "evil").exists() and not Path("/evil").exists()


@pytest.mark.parametrize("name", ["../evil", "/aa/evil", "a/../e/f"])
def test_such_a_name_in_a_7z(place: Path, name: str) -> None:
    stand_in = "x" * len(name)
    patch = {stand_in.encode("utf-16-le"): name.encode("utf-16-le")}
    assert repr(name) in refused(
        make_7z(place / "x.7z", {"good": b"1", stand_in: b"2"}, patch), "nothing was extracted"
    )


def test_a_nul_in_a_name(place: Path) -> None:
    archive = make(place / "x.zip", {"a_b": b"1"})
    archive.write_bytes(archive.read_bytes().replace(b"a_b", b"a\0b"))
    refused(archive, "NUL")
    make_tar(place / "x.tar", [entry("a\0b", b"1", pax_headers={"path": "a\0b"})])
    with pytest.raises(ValueError, match="NUL"):
        inner_path("a\0b")


@pytest.mark.parametrize(
    "kind, what",
    [
        (tarfile.SYMTYPE, "a symbolic link to '../../etc/passwd'"),
        (tarfile.LNKTYPE, "a hard link to '../../etc/passwd'"),
        (tarfile.FIFOTYPE, "neither a file nor a folder"),
        (tarfile.CHRTYPE, "neither a file nor a folder"),
        (b"Z", "neither a file nor a folder"),
    ],
)
def test_links_and_devices_in_a_tar(place: Path, kind: bytes, what: str) -> None:
    entries = [entry("good", b"1"), entry("bad", type=kind, linkname="../../etc/passwd"), entry("bad/x", b"2")]
    refused(make_tar(place / "x.tar.gz", entries), f"'bad' is {what}")


@pytest.mark.parametrize("mode, what", [(stat.S_IFLNK, "a symbolic link"), (stat.S_IFIFO, "neither")])
def test_links_and_devices_in_a_zip(place: Path, mode: int, what: str) -> None:
    with zipfile.ZipFile(place / "x.zip", "w") as archive:
        archive.writestr("good", b"1")
        info = zipfile.ZipInfo("bad")
        info.external_attr = (mode | 0o777) << 16
        archive.writestr(info, b"/etc/passwd")
    refused(place / "x.zip", f"'bad' is {what}")


@pytest.mark.parametrize("mode, what", [(stat.S_IFLNK, "a symbolic link"), (stat.S_IFIFO, "neither")])
def test_links_and_devices_in_a_7z(place: Path, mode: int, what: str) -> None:
    (place / "file").write_bytes(b"/etc/passwd")
    (place / "file").chmod(0o644)
    with py7zr.SevenZipFile(place / "x.7z", "w") as archive:
        archive.set_encoded_header_mode(False)
        archive.write(place / "file", "bad")
    patch_7z(place / "x.7z", {struct.pack("<H", stat.S_IFREG | 0o644): struct.pack("<H", mode | 0o644)})
    refused(place / "x.7z", f"'bad' is {what}")


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_in_one_place(place: Path, kind: str) -> None:
    refused(make(place / f"x.{kind}", {"a/b": b"1", "a/c": b"2", "a": b"3"}), "'a' is there twice")
    refused(make(place / f"y.{kind}", {"a": b"1", "a/b/c": b"2"}), "'a/b/c' lies below 'a', a file")
    if kind != "7z":  # py7zr writes no such name
        refused(make(place / f"z.{kind}", {"a/b": b"1", "./a//b": b"2"}), "there twice")
    assert extract(make(place / f"case.{kind}", {"a": b"1", "A": b"2"}), place / "case") == 2


@pytest.mark.parametrize("kind", FORMATS)
def test_bombs(place: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    bomb = make(place / f"x.{kind}", {"zeros": bytes(3_000_000), "more": bytes(3_000_000)})
    extract(bomb, place / "harmless")
    monkeypatch.setattr(archives, "HARMLESS", 2_000_000)
    monkeypatch.setattr(archives, "RATIO", 0)
    refused(bomb, "unfold to more than")
    monkeypatch.setattr(archives, "RATIO", 1_000_000)
    monkeypatch.setattr(archives, "MEMBERS", 1)
    refused(bomb, "more than 1 files")


def test_a_bomb_behind_a_compression_is_not_read(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = make(place / "x.tar.gz", {"zeros": bytes(3_000_000), "more": b""})
    monkeypatch.setattr(archives, "HARMLESS", 2_000_000)
    bomb.write_bytes(bomb.read_bytes()[:200])  # the header of the first member, and little of its content
    refused(bomb, "unfold to more than")


@pytest.mark.parametrize("kind", FORMATS)
def test_archives_that_are_cut_off(place: Path, kind: str) -> None:
    whole = make(place / f"x.{kind}", {"a": os.urandom(5000), "b": os.urandom(5000)})
    data = whole.read_bytes()
    end = len(data.rstrip(b"\0")) if kind == "tar" else len(data)
    for size in (0, 1, 5, 600, end // 2, end * 2 // 3, end - 1):
        cut = place / f"cut.{kind}"
        cut.write_bytes(data[:size])
        refused(cut, "damaged, or cut off")


def test_a_tar_that_ends_after_a_member_or_has_a_broken_header(place: Path) -> None:
    data = make(place / "x.tar", {"a": bytes(512), "b": b"2"}).read_bytes()
    (place / "x.tar").write_bytes(data[:1024])
    refused(place / "x.tar", "damaged, or cut off")
    (place / "x.tar").write_bytes(data[:1024] + b"X" + data[1025:])
    refused(place / "x.tar", "damaged, or cut off")


def test_wrong_check_sums(place: Path) -> None:
    secret = b"the sound of a dog"
    with zipfile.ZipFile(place / "x.zip", "w") as archive:
        archive.writestr("good", b"1")
        archive.writestr("bad", secret)
    make_7z(place / "x.7z", {"good": b"1", "bad": secret})
    for kind in ("zip", "7z"):
        path = place / f"x.{kind}"
        path.write_bytes(path.read_bytes().replace(secret, secret.replace(b"dog", b"cat")))
        refused(path, "'bad': damaged, or cut off")
    path = make(place / "x.tar.gz", FILES)
    data = bytearray(path.read_bytes())
    data[-6] ^= 1
    path.write_bytes(data)
    refused(path, "damaged, or cut off")


def test_sizes_that_are_not_as_announced(place: Path) -> None:
    path = make(place / "x.zip", {"good": b"1", "bad": b"12345"})
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\1\2") + 24
    assert struct.unpack_from("<L", data, at) == (5,)
    struct.pack_into("<L", data, at, 9)
    path.write_bytes(data)
    refused(path, "'bad': damaged, or cut off: 4 bytes shorter than announced")
    contents, writer = Contents(path, 1000), Writer(place / "out")
    contents.add(Member("a", 3))
    with pytest.raises(Damaged, match="longer than announced"), writer.filling(contents):
        writer.begin("a")
        writer.write(b"123")
        writer.write(b"4")
    with pytest.raises(Damaged, match="'a' first"), Writer(place / "out").filling(contents):
        pass
    assert os.listdir(place) == ["x.zip"]


def test_headers_of_a_tar_that_lie(place: Path) -> None:
    archive = make_tar(place / "x.tar", [entry("good", b"1"), entry("bad", b"2")])
    data = bytearray(archive.read_bytes())
    data[1024 + 124 : 1024 + 136] = b"\xff" * 12  # -1
    data[1024 + 148 : 1024 + 156] = b" " * 8
    data[1024 + 148 : 1024 + 156] = b"%06o\0 " % sum(data[1024:1536])
    archive.write_bytes(data)
    refused(archive, "a header of -1 bytes")
    make_tar(archive, [entry("x", pax_headers={"size": "-1024", "path": "bad"})])
    refused(archive, "'bad' has -1024 bytes")
    make_tar(archive, [entry("x", pax_headers={"comment": "c" * (1 << 21)})])
    refused(archive, "a header of 2097")


def test_encrypted_archives(place: Path) -> None:
    path = make(place / "x.zip", {"a": b"1"})
    data = bytearray(path.read_bytes())
    data[data.rindex(b"PK\1\2") + 8] |= 1
    path.write_bytes(data)
    refused(path, "'a' is encrypted")
    for hidden in (False, True):
        with py7zr.SevenZipFile(place / "x.7z", "w", password="secret", header_encryption=hidden) as archive:
            archive.writestr(b"1", "a")
        refused(place / "x.7z", "encrypted; expected an archive without password")


def test_a_method_that_cannot_be_read(place: Path) -> None:
    path = make(place / "x.zip", {"a": b"1"})
    data = bytearray(path.read_bytes())
    struct.pack_into("<H", data, data.rindex(b"PK\1\2") + 10, 9)
    path.write_bytes(data)
    refused(path, "espret cannot read it")


@pytest.mark.parametrize("kind", FORMATS)
def test_a_web_page_is_no_archive(place: Path, kind: str) -> None:
    (place / f"x.{kind}").write_bytes(b"\n <!DOCTYPE html>\n<html>" + b"Sign in, please. " * 100)
    refused(place / f"x.{kind}", "a web page, not an archive")


def test_an_archive_of_nothing(place: Path) -> None:
    for kind in ("zip", "tar"):
        refused(make(place / f"x.{kind}", {}), "holds no files")


def test_a_download_whose_compression_was_undone(place: Path) -> None:
    make(place / "x.tar", FILES).rename(place / "x.tar.gz")
    extract(place / "x.tar.gz", place / "out")
    assert content(place / "out") == FILES


@pytest.mark.parametrize("kind", FORMATS)
def test_damage_anywhere_ends_with_a_message(place: Path, kind: str) -> None:
    data = make(place / f"x.{kind}", {"a/b": b"sound" * 20, "c": bytes(range(256))}).read_bytes()
    rng = random.Random(1)
    for _ in range(40):
        broken = bytearray(data)
        for _ in range(rng.choice([1, 4, 50])):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        (place / f"x.{kind}").write_bytes(broken)
        try:
            extract(place / f"x.{kind}", place / "out")
        except EspretError:
            assert os.listdir(place) == [f"x.{kind}"]
        else:  # a time, or what follows the end
            (place / "out").rename(place.parent / f"out {rng.random()}")


def test_a_disk_that_is_too_small(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = make(place / "x.tar.gz", FILES)
    monkeypatch.setattr(archives, "free_bytes", lambda folder: archives.SPARE + 5499)
    assert "1.0 GB free; expected 1.0 GB to extract" in refused(archive, "make room")
    monkeypatch.setattr(archives, "free_bytes", lambda folder: archives.SPARE + 5500)
    assert extract(archive, place / "out") == 3


def test_a_disk_that_fills_up(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(writer: Writer, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    archive = make(place / "x.7z", FILES)
    monkeypatch.setattr(Writer, "write", full)
    with pytest.raises(EspretError, match="No space left on device; .* free, 5.5 kB needed; mend: make room"):
        extract(archive, place / "out")
    assert os.listdir(place) == ["x.7z"]


def test_a_disk_that_refuses_to_the_last(place: Path) -> None:
    contents, limits = Contents(place / "x.zip", 1000), resource.getrlimit(resource.RLIMIT_FSIZE)
    contents.add(Member("a", 10_000))
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        writer = Writer(place / "out")
        with pytest.raises(OSError, match="File too large"), writer.filling(contents):
            writer.begin("a")
            writer.write(bytes(5000))
            writer.write(bytes(5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert os.listdir(place) == []


@pytest.mark.parametrize("kind", FORMATS)
def test_a_disk_that_does_not_keep_a_name(place: Path, kind: str) -> None:
    with pytest.raises(EspretError, match="takes no 'a/nnn.*; mend: take a folder on another disk"):
        extract(make(place / f"x.{kind}", {"good": b"1", f"a/{'n' * 256}": b"2"}), place / "out")
    assert os.listdir(place) == [f"x.{kind}"]


def test_an_interrupt_leaves_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begin = Writer.begin

    def stop(writer: Writer, name: str) -> None:
        begin(writer, name)
        if name == "list.csv":
            raise KeyboardInterrupt

    monkeypatch.setattr(Writer, "begin", stop)
    for kind in FORMATS:
        with pytest.raises(KeyboardInterrupt):
            extract(make(place / f"x.{kind}", FILES), place / "out")
    assert sorted(os.listdir(place)) == sorted(f"x.{kind}" for kind in FORMATS)


def test_killed_and_started_again(place: Path) -> None:
    archive = make(place / "x.tar", FILES)
    context = multiprocessing.get_context("fork")
    process = context.Process(target=extract_slowly, args=(archive, place / "out"))
    process.start()
    wait_for(lambda: (place / "out.partial" / "development" / "a.wav").exists())
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(10)
    assert sorted(os.listdir(place)) == ["out.partial", "x.tar"]
    (place / "out.partial" / "stale").touch()
    assert extract(archive, place / "out") == 3
    assert content(place / "out") == FILES and sorted(os.listdir(place)) == ["out", "x.tar"]


def extract_slowly(archive: Path, target: Path) -> None:
    Writer.write = lambda writer, data: time.sleep(60)  # type: ignore[method-assign, assignment, func-returns-value]
    extract(archive, target)


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_two_processes_behind_the_lock_of_their_caller(place: Path) -> None:
    make(place / "x.7z", FILES)
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=extract_locked, args=(place,)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [0, 0]
    assert content(place / "out") == FILES and sorted(os.listdir(place)) == ["lock", "out", "x.7z"]


def extract_locked(place: Path) -> None:
    with open(place / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "out").exists():
            extract(place / "x.7z", place / "out")


def test_a_stale_partial_that_is_a_link_is_not_followed(place: Path, tmp_path: Path) -> None:
    (tmp_path / "dear").mkdir()
    (tmp_path / "dear" / "file").touch()
    (place / "out.partial").symlink_to(tmp_path / "dear")
    extract(make(place / "x.zip", FILES), place / "out")
    assert content(place / "out") == FILES and os.listdir(tmp_path / "dear") == ["file"]


def test_what_is_there_is_left_alone(place: Path) -> None:
    archive = make(place / "x.zip", FILES)
    (place / "out").mkdir()
    assert "is there already" in refused(archive, "move it away")
    with pytest.raises(EspretError, match=r"y\.zip: no such file"):
        extract(place / "y.zip", place / "new")


def test_what_is_called_an_archive() -> None:
    yes = ["a.7z", "b.ZIP", "c d.z01", "e.z100", "f.tar", "g.tar.gz", "h.tgz", "i.tar.xz", "j.tar.bz2"]
    no = ["a.wav", "zip", "b.zip.wav", "c.csv.gz", "d.z", "e.json"]
    assert [name for name in yes + no if is_archive(Path(name))] == yes
