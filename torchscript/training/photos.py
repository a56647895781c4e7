"""Annotated photos to train on: variants of whole ones, and their objects cut out, on
photos and on drawn backgrounds.

A folder of photos has images/ and instances.json in COCO's form, with polygons.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

import pictograms
import scenes

Box = tuple[float, float, float, float]  # x0, y0, x1, y1, edges in pixels

LEAST_OBJECT = 40  # pixels of an object's longer side, to be cut out


class Photos:
    """The photos of a folder: images, the boxes [n,4] of each, and objects with an alpha
    channel. digest is of what is annotated."""

    def __init__(self, folder: Path) -> None:
        text = (folder / "instances.json").read_bytes()
        self.digest = hashlib.sha256(text).hexdigest()
        truth = json.loads(text)
        at = {image["id"]: k for k, image in enumerate(truth["images"])}
        self.images = [Image.open(folder / "images" / i["file_name"]).convert("RGB") for i in truth["images"]]
        boxes: list[list[Box]] = [[] for _ in self.images]
        self.objects: list[Image.Image] = []
        for annotation in truth["annotations"]:
            if annotation["iscrowd"]:
                continue
            k = at[annotation["image_id"]]
            x, y, width, height = annotation["bbox"]
            boxes[k].append((x, y, x + width, y + height))
            if isinstance(annotation["segmentation"], list) and max(width, height) >= LEAST_OBJECT:
                self.objects.append(_cut(self.images[k], boxes[k][-1], annotation["segmentation"]))
        self.boxes = [np.array(b, np.float32).reshape(-1, 4) for b in boxes]


def _cut(image: Image.Image, box: Box, polygons: Sequence[Sequence[float]]) -> Image.Image:
    """What the polygons enclose. Its edge is blended, since a hard one would give it away."""
    mask = Image.new("L", image.size)
    for polygon in polygons:
        ImageDraw.Draw(mask).polygon(list(polygon), fill=255)
    around = (int(box[0]) - 2, int(box[1]) - 2, int(box[2]) + 3, int(box[3]) + 3)
    cut = image.crop(around).convert("RGBA")
    cut.putalpha(mask.filter(ImageFilter.GaussianBlur(0.8)).crop(around))
    return cut


def recoloured(rng: np.random.Generator, image: Image.Image) -> Image.Image:
    """The image in another light. An alpha channel stays."""
    colours = image.convert("RGB")
    for enhance, low, high in (
        (ImageEnhance.Brightness, 0.7, 1.3),
        (ImageEnhance.Contrast, 0.7, 1.3),
        (ImageEnhance.Color, 0.3, 1.5),
    ):
        if rng.random() < 0.7:
            colours = enhance(colours).enhance(rng.uniform(low, high))
    if image.mode == "RGBA":
        colours = colours.convert("RGBA")
        colours.putalpha(image.getchannel("A"))
    return colours


def variant(rng: np.random.Generator, photos: Photos, k: int, size: tuple[int, int]) -> tuple[Image.Image, list[Box]]:
    """A part of photo k in the size, mirrored or not and recoloured, and its boxes. An
    object of which less than 35 % is in the part, or that is too small, has none."""
    image, boxes = photos.images[k], photos.boxes[k]
    width, height = size
    share = rng.uniform(0.45, 1) ** 0.7
    w = min(image.width, image.height * width / height) * share
    h = min(image.height, w * height / width * rng.uniform(0.85, 1.18))
    x, y = rng.uniform(0, image.width - w), rng.uniform(0, image.height - h)
    part = image.resize(size, Image.Resampling.BICUBIC, box=(x, y, x + w, y + h))
    moved = (boxes - np.array([x, y, x, y], np.float32)) * np.array([width / w, height / h] * 2, np.float32)
    inside = moved.clip(0, [width, height, width, height])
    kept = inside[(_area(inside) > 0.35 * _area(moved)) & ((inside[:, 2:] - inside[:, :2]).min(1) > 6)]
    if rng.random() < 0.5:
        part = part.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        kept = np.stack([width - kept[:, 2], kept[:, 1], width - kept[:, 0], kept[:, 3]], 1)
    return recoloured(rng, part), [tuple(map(float, box)) for box in kept]


def _area(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def collage(
    rng: np.random.Generator, photos: Photos, pictures: pictograms.Pictograms, size: tuple[int, int]
) -> tuple[Image.Image, list[Box]]:
    """Objects of photos, and some pictograms, on a photo or a drawn background, and the
    boxes of all that is on it."""
    boxes: list[Box] = []
    if rng.random() < 0.6:
        picture, boxes = variant(rng, photos, int(rng.integers(len(photos.images))), size)
    else:
        picture = scenes.background(rng, size, str(rng.choice(scenes.BACKGROUNDS)))
    sides = np.exp(rng.uniform(np.log(20), np.log(0.75 * min(size)), int(rng.integers(1, 8))))
    for side in np.sort(sides)[::-1]:  # a small one finds room beside a large one
        if rng.random() < 0.25:
            concept = int(rng.choice(pictures.shown))
            style = str(rng.choice([s for s in pictures.drawn if pictures.drawn[s][concept]]))
            sprite = Image.fromarray(np.asarray(pictures.images[style][concept]))
        else:
            sprite = photos.objects[int(rng.integers(len(photos.objects)))]
        box = paste(rng, picture, sprite, float(side), boxes)
        if box:
            boxes.append(box)
    if rng.random() < 0.3:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 0.9)))
    return picture, boxes


def paste(
    rng: np.random.Generator, picture: Image.Image, sprite: Image.Image, side: float, taken: Sequence[Box]
) -> Box | None:
    """Pastes the sprite, recoloured, with the longer side, where it covers at most 35 % of
    each box taken. Returns its box, or None if it found no room."""
    if rng.random() < 0.5:
        sprite = sprite.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    sprite = recoloured(rng, sprite)
    if rng.random() < 0.3:
        sprite = sprite.rotate(rng.uniform(-15, 15), Image.Resampling.BICUBIC, expand=True)
    visible = sprite.getchannel("A").point(lambda alpha: 255 * (alpha > 64)).getbbox()
    if not visible:
        return None
    sprite = sprite.crop(visible)
    scale = side / max(sprite.size)
    w, h = (max(5, round(s * scale)) for s in sprite.size)
    if w > picture.width or h > picture.height:
        return None
    sprite = sprite.resize((w, h), Image.Resampling.LANCZOS)
    for _ in range(20):
        x, y = int(rng.integers(0, picture.width - w + 1)), int(rng.integers(0, picture.height - h + 1))
        box = (float(x), float(y), float(x + w), float(y + h))
        if all(_covered(other, box) <= 0.35 for other in taken):
            picture.paste(sprite, (x, y), sprite)
            return box
    return None


def _covered(box: Box, by: Box) -> float:
    """The share of a box that another covers."""
    w, h = min(box[2], by[2]) - max(box[0], by[0]), min(box[3], by[3]) - max(box[1], by[1])
    return max(w, 0) * max(h, 0) / max(1, (box[2] - box[0]) * (box[3] - box[1]))
