"""Scenes of pictograms with ground truth: a folder of pictures and instances.json in COCO's form.

A scene is one background (plain, gradient, texture, clutter) with 1 to 12 pictograms on it, rotated a little and
overlapping little. Scene i of a seed is the same whatever the count.

    python scenes.py --out DIR --count 100 --seed 1 [--names dog,pizza] [--things 80] [--styles noto] [--size 640x480]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

import pictograms

THINGS = (3, 4, 5, 6, 7)  # emojibase's groups of animals, food, travel, activities, objects
BACKGROUNDS = ("plain", "gradient", "texture", "clutter")


@dataclass(frozen=True)
class Instance:
    """A pictogram in a scene: concept index, style, and box x0, y0, x1, y1 in pixels (edges) of what is visible."""

    concept: int
    style: str
    box: tuple[int, int, int, int]


@dataclass(frozen=True)
class Layout:
    """How scenes are made."""

    size: tuple[int, int] = (640, 480)
    objects: tuple[int, int] = (1, 12)
    sides: tuple[int, int] = (24, 300)
    rotation: float = 20.0
    overlap: float = 0.1
    backgrounds: tuple[str, ...] = BACKGROUNDS
    pastel: bool = False


def background(rng: np.random.Generator, size: tuple[int, int], kind: str, pastel: bool = False) -> Image.Image:
    """A background of the kind, with nothing on it that has a name."""
    painters = {"plain": _plain, "gradient": _gradient, "texture": _texture, "clutter": _clutter}
    if kind not in painters:
        raise ValueError(f"unknown background {kind!r}: choose from {', '.join(BACKGROUNDS)}")
    picture = painters[kind](rng, size, pastel)
    return picture.convert("RGB")


def _colour(rng: np.random.Generator, pastel: bool = False) -> np.ndarray:
    if pastel:
        return (170 + 85 * rng.random(3)).astype(np.float32)
    level = rng.random()
    # Greys and near-whites are more common behind things than saturated colours.
    if level < 0.35:
        return (rng.random() * 255 + rng.normal(0, 10, 3)).clip(0, 255).astype(np.float32)
    return (rng.random(3) * 255).astype(np.float32)


def _plain(rng: np.random.Generator, size: tuple[int, int], pastel: bool) -> Image.Image:
    return Image.new("RGB", size, tuple(int(c) for c in _colour(rng, pastel)))


def _gradient(rng: np.random.Generator, size: tuple[int, int], pastel: bool) -> Image.Image:
    w, h = size
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    if rng.random() < 0.6:
        angle = rng.random() * 2 * np.pi
        t = np.cos(angle) * x + np.sin(angle) * y
    else:
        t = np.hypot(x - rng.random() * w, y - rng.random() * h)
    t = (t - t.min()) / (np.ptp(t) + 1e-6)
    return _ramp(rng, t, int(rng.integers(2, 4)), pastel)


def _ramp(rng: np.random.Generator, t: np.ndarray, stops: int, pastel: bool) -> Image.Image:
    """Colours the values 0..1 of t by a ramp of random stops."""
    colours = np.stack([_colour(rng, pastel) for _ in range(stops)])
    if rng.random() < 0.5:  # a quiet ramp: shades of one colour
        colours = colours[:1] + (colours - colours[:1]) * 0.3
    at = np.linspace(0, 1, stops)
    table = np.stack([np.interp(np.linspace(0, 1, 256), at, colours[:, c]) for c in range(3)], -1)
    return Image.fromarray(table[(t * 255).astype(np.uint8)].clip(0, 255).astype(np.uint8))


def _noise(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Smooth noise in 0..1: random grids of several finenesses, each weaker than the one before."""
    w, h = size
    total = np.zeros((h, w), np.float32)
    cells, weight = int(rng.integers(2, 6)), 1.0
    fall = rng.uniform(0.4, 0.9)
    while cells < max(w, h) // 2:
        grid = rng.random((max(2, cells * h // w + 1), cells)).astype(np.float32)
        total += weight * np.asarray(Image.fromarray(grid).resize(size, Image.Resampling.BICUBIC))
        cells, weight = int(cells * rng.uniform(2, 3)) + 1, weight * fall
    return (total - total.min()) / (np.ptp(total) + 1e-6)


def _texture(rng: np.random.Generator, size: tuple[int, int], pastel: bool) -> Image.Image:
    w, h = size
    choice = rng.integers(0, 5)
    if choice <= 1:
        return _ramp(rng, _noise(rng, size), int(rng.integers(2, 5)), pastel)
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    angle = rng.random() * np.pi
    u, v = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    period = rng.uniform(6, 60)
    if choice == 2:
        t = 0.5 + 0.5 * np.sin(2 * np.pi * u / period)
    elif choice == 3:
        t = ((np.floor(u / period) + np.floor(v / period)) % 2).astype(np.float32)
    else:
        t = 0.5 + 0.5 * np.sin(2 * np.pi * u / period) * np.sin(2 * np.pi * v / period)
        t = (t > rng.uniform(0.4, 0.8)).astype(np.float32)
    return _ramp(rng, 0.85 * t + 0.15 * _noise(rng, size), 2, pastel)


def _clutter(rng: np.random.Generator, size: tuple[int, int], pastel: bool) -> Image.Image:
    """Strokes and shapes, more or less out of focus, over one of the quieter backgrounds."""
    w, h = size
    base = (_plain, _gradient, _texture)[rng.integers(0, 3)](rng, size, pastel).convert("RGB")
    for _ in range(int(rng.integers(1, 4))):
        layer = base.copy()
        draw = ImageDraw.Draw(layer)
        reach = max(w, h)
        for _ in range(int(rng.integers(4, 30))):
            fill = tuple(int(c) for c in _colour(rng, pastel))
            x, y = rng.random() * w, rng.random() * h
            rw, rh = rng.exponential(reach / 8, 2) + 2
            kind = rng.integers(0, 4)
            if kind == 0:
                draw.ellipse([x - rw, y - rh, x + rw, y + rh], fill=fill)
            elif kind == 1:
                angles = np.sort(rng.random(int(rng.integers(3, 7)))) * 2 * np.pi
                draw.polygon([(x + rw * np.cos(a), y + rh * np.sin(a)) for a in angles], fill=fill)
            elif kind == 2:
                points = np.cumsum(np.vstack([[x, y], rng.normal(0, reach / 8, (4, 2))]), 0)
                draw.line([tuple(p) for p in points], fill=fill, width=int(rng.integers(1, 8)))
            else:
                draw.arc([x - rw, y - rh, x + rw, y + rh], *(rng.random(2) * 360), fill=fill, width=3)
        blur = float(rng.choice([0, 1, 3, 8], p=[0.15, 0.25, 0.3, 0.3]))
        layer = layer.filter(ImageFilter.GaussianBlur(blur)) if blur else layer
        base = Image.blend(base, layer, rng.uniform(0.4, 1.0))
    return base


def place(
    rng: np.random.Generator,
    picture: Image.Image,
    drawing: np.ndarray,
    side: int,
    rotation: float,
    taken: Sequence[tuple[int, int, int, int]],
    overlap: float,
) -> tuple[int, int, int, int] | None:
    """Pastes the drawing [S,S,4] where it covers little of the boxes taken; its box, or None if it found no room."""
    sprite = Image.fromarray(drawing).rotate(rng.uniform(-rotation, rotation), Image.Resampling.BICUBIC, expand=True)
    sprite = sprite.crop(sprite.getchannel("A").point(lambda a: 255 * (a > 32)).getbbox())
    scale = side / max(sprite.size)
    w, h = (max(4, round(s * scale)) for s in sprite.size)
    if w > picture.width or h > picture.height:
        return None
    sprite = sprite.resize((w, h), Image.Resampling.LANCZOS)
    for _ in range(30):
        x, y = int(rng.integers(0, picture.width - w + 1)), int(rng.integers(0, picture.height - h + 1))
        box = (x, y, x + w, y + h)
        if all(_covered(box, other) <= overlap for other in taken):
            picture.paste(sprite, (x, y), sprite)
            return box
    return None


def _covered(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> float:
    """The intersection's share of the smaller box."""
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if w <= 0 or h <= 0:
        return 0.0
    return w * h / min((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1]))


def scene(
    seed: int,
    index: int,
    pictures: pictograms.Pictograms,
    layout: Layout,
    concepts: Sequence[int] | None = None,
) -> tuple[Image.Image, list[Instance]]:
    """Scene number index of the seed: the picture and what is on it. No concept appears twice in a scene."""
    rng = np.random.default_rng([seed, index])
    drawn = pictures.drawn
    picture = background(rng, layout.size, str(rng.choice(layout.backgrounds)), layout.pastel)
    pool = np.asarray(pictures.shown if concepts is None else concepts)
    wanted = min(int(rng.integers(layout.objects[0], layout.objects[1] + 1)), len(pool))
    low, high = layout.sides
    high = min(high, int(0.8 * min(layout.size)))
    sides = np.exp(rng.uniform(np.log(low), np.log(high), wanted)).astype(int)
    instances: list[Instance] = []
    # Large ones first: a small one finds room beside a large one, not the other way round.
    for concept, side in zip(rng.choice(pool, wanted, replace=False), np.sort(sides)[::-1], strict=True):
        style = str(rng.choice([s for s in drawn if drawn[s][concept]]))
        taken = [i.box for i in instances]
        drawing = np.asarray(pictures.images[style][concept])
        box = place(rng, picture, drawing, int(side), layout.rotation, taken, layout.overlap)
        if box:
            instances.append(Instance(int(concept), style, box))
    if rng.random() < 0.3:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 0.8)))
    if rng.random() < 0.3:
        grain = rng.normal(0, rng.uniform(2, 12), (picture.height, picture.width, 1))
        picture = Image.fromarray((np.asarray(picture) + grain).clip(0, 255).astype(np.uint8))
    return picture, instances


def choose(pictures: pictograms.Pictograms, count: int, groups: Sequence[int] | None = THINGS) -> list[int]:
    """The same concepts every time, of those that every style draws and that are of the groups, or of any."""
    drawn = np.all(list(pictures.drawn.values()), axis=0)
    pool = [i for i in np.nonzero(drawn)[0] if groups is None or pictures.concepts[i].group in groups]
    return sorted(np.random.default_rng(80).choice(pool, count, replace=False).tolist())


def coco(
    scenes: Sequence[tuple[str, tuple[int, int], list[Instance]]],
    pictures: pictograms.Pictograms,
    concepts: Sequence[int],
) -> dict:
    """COCO instances of scenes, each (file name, (width, height), instances); categories are the concepts, in order."""
    category = {concept: k + 1 for k, concept in enumerate(concepts)}
    images, annotations = [], []
    for i, (name, (width, height), instances) in enumerate(scenes):
        images.append({"id": i + 1, "file_name": name, "width": width, "height": height})
        for instance in instances:
            x0, y0, x1, y1 = instance.box
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": i + 1,
                    "category_id": category[instance.concept],
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "area": (x1 - x0) * (y1 - y0),
                    "iscrowd": 0,
                    "style": instance.style,
                }
            )
    categories = [{"id": k, "name": pictures.concepts[concept].name} for concept, k in category.items()]
    return {"images": images, "annotations": annotations, "categories": categories}


def _pair(text: str, separator: str) -> tuple[int, int]:
    first, second = text.split(separator)
    return int(first), int(second)


def main() -> int:
    parser = argparse.ArgumentParser(description="make scenes of pictograms with ground truth")
    parser.add_argument("--out", type=Path, required=True, help="folder for the pictures and instances.json")
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--numbers", default="", help="only these scenes of the seed, such as 1,2,5, not --count")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--styles", default=",".join(pictograms.STYLES))
    parser.add_argument("--names", default="", help="only these concepts, separated by commas")
    parser.add_argument("--things", type=int, default=0, help="without --names, so many concepts that all styles draw")
    parser.add_argument("--size", default="640x480")
    parser.add_argument("--objects", default="1-12")
    parser.add_argument("--sides", default="24-300", help="longer side of a pictogram in pixels")
    parser.add_argument("--backgrounds", default=",".join(BACKGROUNDS))
    parser.add_argument("--pastel", action="store_true", help="light colours behind the pictograms")
    parser.add_argument("--overlap", type=float, default=0.1, help="how much of a pictogram another may cover")
    parser.add_argument("--render", type=int, default=128, help="pixels that a pictogram is rendered at before scaling")
    parser.add_argument("--quality", default="50-95", help="JPEG quality")
    arguments = parser.parse_args()
    pictures = pictograms.load(tuple(arguments.styles.split(",")), arguments.render)
    names = [n.strip() for n in arguments.names.split(",") if n.strip()]
    concepts = [pictures.index(n) for n in names] or pictures.shown
    if arguments.things:
        concepts = choose(pictures, arguments.things)
    layout = Layout(
        size=_pair(arguments.size, "x"),
        objects=_pair(arguments.objects, "-"),
        sides=_pair(arguments.sides, "-"),
        overlap=arguments.overlap,
        backgrounds=tuple(arguments.backgrounds.split(",")),
        pastel=arguments.pastel,
    )
    low, high = _pair(arguments.quality, "-")
    arguments.out.mkdir(parents=True, exist_ok=True)
    made = []
    numbers = [int(n) for n in arguments.numbers.split(",") if n] or range(1, arguments.count + 1)
    for i in (n - 1 for n in numbers):
        picture, instances = scene(arguments.seed, i, pictures, layout, concepts)
        name = f"scene-{i + 1:03d}.jpg"
        quality = int(np.random.default_rng([arguments.seed, i, 1]).integers(low, high + 1))
        picture.save(arguments.out / name, quality=quality)
        made.append((name, picture.size, instances))
    used = concepts if names or arguments.things else sorted({i.concept for _, _, instances in made for i in instances})
    (arguments.out / "instances.json").write_text(json.dumps(coco(made, pictures, used), indent=1) + "\n")
    print(f"{len(made)} scenes, {sum(len(i) for _, _, i in made)} pictograms, {len(used)} concepts in {arguments.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
