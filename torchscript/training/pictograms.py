"""Pictograms with names: what the built-in models are trained on.

Several sets draw the same concepts, each in a style of its own; they come from package registries (packages.py) and
are rendered once into a cache. Names and keywords come from emojibase-data. A concept is kept when Twemoji, Fluent and
Noto all draw it; the other sets draw some of these. Flags, skin tones, hair and gendered variants are left out, since
they differ in a detail and not in what the picture shows.

    python pictograms.py            fetch and render everything, say what there is
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import hashlib
import io
import json
import os
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import resvg_py
from PIL import Image, ImageDraw, ImageFont

from packages import SOURCES, cache_home, fetch

SELECTION = 1  # counts changes of the rules that select concepts, so that a cache of older rules is not taken
# Sequences that begin with a man or woman, or end in "facing right": variants of a person that is there already.
_VARIANT = re.compile(r"^(1F468|1F469)-|27A1-FE0F$")
STYLES = ("twemoji", "fluent", "noto")  # these draw every concept
# Styles by whose hand they are of: whoever leaves a style out leaves out its relatives, or has not left it out.
FAMILIES = {
    "twemoji": ("twemoji",),
    "fluent": ("fluent", "fluent-shaded", "fluent-line"),
    "noto": ("noto", "noto-v1"),
    "emojione": ("emojione", "emojione-line"),
    "streamline": ("streamline",),
    "fxemoji": ("fxemoji",),
}
LINES = ("fluent-line", "emojione-line")  # drawn in one colour, which is whatever one likes


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
    """Concepts and their pictures: images[style] is uint8 [len(concepts), size, size, 4], straight alpha.

    Where a style does not draw a concept, its picture is transparent all over, and drawn[style][concept] is false.
    """

    concepts: tuple[Concept, ...]
    images: dict[str, np.ndarray]

    @functools.cached_property
    def drawn(self) -> dict[str, np.ndarray]:
        """For each style, bool [len(concepts)]: whether it draws the concept."""
        return {style: np.stack([i[..., 3].any() for i in images]) for style, images in self.images.items()}

    @functools.cached_property
    def shown(self) -> list[int]:
        """The concepts that at least one style draws."""
        return np.nonzero(np.any(list(self.drawn.values()), axis=0))[0].tolist()

    def index(self, name: str) -> int:
        """The place of the concept of that name."""
        for i, concept in enumerate(self.concepts):
            if concept.name == name:
                return i
        raise KeyError(f"no pictogram is called {name!r}")


def styles_without(family: str) -> tuple[str, ...]:
    """Returns all styles outside a family. The family "" has none."""
    return tuple(style for name, styles in FAMILIES.items() if name != family for style in styles)


def main_without(family: str) -> tuple[str, ...]:
    """Returns the styles of STYLES outside a family. The family "" has none."""
    return tuple(style for style in STYLES if style not in FAMILIES.get(family, ()))


def load(styles: tuple[str, ...] = STYLES, size: int = 128) -> Pictograms:
    """Fetches and renders what is missing from the cache and returns the pictograms of the styles."""
    unknown = set(styles) - set(styles_without(""))
    if unknown:
        raise ValueError(f"unknown style {sorted(unknown)}: choose from {', '.join(styles_without(''))}")
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
    key = hashlib.sha256("|".join(SOURCES[name].sha256 for name in (*STYLES, "names")).encode()).hexdigest()
    path = folder / f"concepts-{SELECTION}-{key[:12]}.json"
    if not path.exists():
        rows = [dataclasses.asdict(concept) for concept in _select(folder)]
        with tempfile.NamedTemporaryFile("w", dir=folder, suffix=".json", delete=False) as file:
            json.dump(rows, file)
        os.replace(file.name, path)
    return tuple(Concept(**{**row, "keywords": tuple(row["keywords"])}) for row in json.loads(path.read_text()))


def _select(folder: Path) -> list[Concept]:
    root = fetch("names", folder)
    entries = json.loads((root / "package/en/data.json").read_text())
    twemoji = {p.stem.lower() for p in (fetch("twemoji", folder) / "package").glob("*.svg")}
    fluent = {p.stem for p in (fetch("fluent", folder) / "package/icons/flat").glob("*.svg")}
    font = _noto_font(fetch("noto", folder))
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
    root = fetch(style, folder)
    if style == "noto":
        font = _noto_font(root)
        side = 136
        for i, concept in enumerate(concepts):
            picture = _noto_picture(font, concept)
            square = Image.new("RGBA", (side, side))
            square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
            out[i] = np.asarray(square.resize((size, size), Image.Resampling.LANCZOS))
        return out
    drawings = _iconify(root, concepts) if (root / "package/icons.json").exists() else _svgs(style, root, concepts)
    for i, svg in drawings.items():
        png = bytes(resvg_py.svg_to_bytes(svg_string=svg, width=size, height=size))
        out[i] = np.asarray(Image.open(io.BytesIO(png)).convert("RGBA").resize((size, size)))
    return out


def _svgs(style: str, root: Path, concepts: tuple[Concept, ...]) -> dict[int, str]:
    """The drawings of a package of SVG files by the place of their concept."""
    folder = root / ("package" if style == "twemoji" else "package/icons/flat")
    names = {path.stem for path in folder.glob("*.svg")}
    found = {}
    for i, concept in enumerate(concepts):
        name = _twemoji_name(concept, names) if style == "twemoji" else _fluent_name(concept.label, names)
        found[i] = (folder / f"{name}.svg").read_text()
    return found


def _iconify(root: Path, concepts: tuple[Concept, ...]) -> dict[int, str]:
    """The drawings of a set in Iconify's form, by the place of their concept; sets name them after labels."""
    icons = json.loads((root / "package/icons.json").read_text())
    names = {}
    for name in (*icons["icons"], *icons.get("aliases", {})):
        names.setdefault(_squeezed(name), name)
    found = {}
    for i, concept in enumerate(concepts):
        label = _squeezed(concept.label)
        plain = _squeezed(re.sub(r"\(.*\)", "", concept.label))
        name = next((names[n] for n in (label, label + "default", plain, label + "face") if n in names), None)
        while name in icons.get("aliases", {}):
            name = icons["aliases"][name]["parent"]
        if name in icons["icons"]:
            icon = icons["icons"][name]
            sides = [icon.get(k, icons.get(k, d)) for k, d in (("left", 0), ("top", 0), ("width", 16), ("height", 16))]
            view = " ".join(str(v) for v in sides)
            found[i] = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{view}">{icon["body"]}</svg>'
    return found


def _squeezed(name: str) -> str:
    """A name by its letters and digits alone: sets differ in dashes."""
    return re.sub(r"[^a-z0-9]", "", name.lower().replace("’", "").replace("ñ", "n").replace("ã", "a"))


def _save(path: Path, array: np.ndarray) -> None:
    """Writes beside and renames, so that an interrupted run leaves no half file."""
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".npy", delete=False) as file:
        np.save(file, array)
    os.replace(file.name, path)


def main() -> int:
    parser = argparse.ArgumentParser(description="fetch and render the pictograms")
    parser.add_argument("--size", type=int, default=128, help="side of the square pictures in pixels")
    arguments = parser.parse_args()
    pictograms = load(styles_without(""), arguments.size)
    for style, drawn in pictograms.drawn.items():
        print(f"{style}: {drawn.sum()} pictograms; {SOURCES[style].attribution}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
