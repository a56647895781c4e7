"""Writes testdata/crops: a picture, boxes, and Pillow's crops of them.

The crops follow the reference's preprocessing: crop the rounded rectangle, resize with
BICUBIC, cut out or pad to a square (openai/CLIP, clip.py, _transform).

    python testdata/make/crops_golden.py testdata/crops
"""

import argparse
import json
import math
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = 24
PAD = (122, 116, 104)  # CLIP's mean colour, as whole values of 255

BOXES = [
    [0, 0, 96, 64],  # the whole picture
    [10, 8, 34, 32],  # no change of size
    [5.2, 7.9, 60.5, 40.1],  # fractional edges
    [20, 20, 24, 24],  # 4 px
    [40, 30, 40.4, 30.6],  # less than a pixel
    [2, 30, 82, 34],  # 20:1
    [50, 1, 53, 61],  # 1:20
    [-20, -10, 30, 20],  # partly outside
    [80, 50, 130, 90],
    [300, 300, 320, 320],  # wholly outside
]


def picture() -> Image.Image:
    """Returns gradients, edges and noise, 96 x 64."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[0:64, 0:96]
    red = x * 255 / 95
    green = 127 + 127 * np.sin(x / 3) * np.cos(y / 5)
    blue = np.where((x // 8 + y // 8) % 2, 230, 20)
    pixels = np.stack([red, green, blue], -1) + rng.normal(0, 12, (64, 96, 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def rect(box: list[float], context: float, width: int, height: int) -> tuple[int, int, int, int]:
    """Scales a box about its centre, rounds it outward, clips it, and keeps at least one
    pixel."""
    x0, y0, x1, y1 = box
    dx, dy = (context - 1) * (x1 - x0) / 2, (context - 1) * (y1 - y0) / 2
    left, top = math.floor(x0 - dx), math.floor(y0 - dy)
    right, bottom = math.ceil(x1 + dx), math.ceil(y1 + dy)
    left, top = min(max(left, 0), width - 1), min(max(top, 0), height - 1)
    return left, top, min(max(right, left + 1), width), min(max(bottom, top + 1), height)


def crop(image: Image.Image, box: list[float], mode: str, context: float) -> Image.Image:
    """Returns one box as the encoder's input."""
    part = image.crop(rect(box, context, *image.size))
    w, h = part.size
    if mode == "squash":
        return part.resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    if mode == "pad":
        size = (SIZE, max(1, SIZE * h // w)) if w >= h else (max(1, SIZE * w // h), SIZE)
        square = Image.new("RGB", (SIZE, SIZE), PAD)
        square.paste(part.resize(size, Image.Resampling.BICUBIC), ((SIZE - size[0]) // 2, (SIZE - size[1]) // 2))
        return square
    w, h = (SIZE, SIZE * h // w) if w <= h else (SIZE * w // h, SIZE)
    left, top = round((w - SIZE) / 2.0), round((h - SIZE) / 2.0)
    return part.resize((w, h), Image.Resampling.BICUBIC).crop((left, top, left + SIZE, top + SIZE))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="the folder to write into")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    image = picture()
    image.save(out / "picture.png")
    cases = [
        {"mode": mode, "context": context, "box": box}
        for mode, context in [("clip", 1), ("clip", 1.5), ("squash", 1), ("pad", 1)]
        for box in BOXES
    ]
    sheet = Image.new("RGB", (SIZE * len(cases), SIZE))
    for i, case in enumerate(cases):
        sheet.paste(crop(image, case["box"], case["mode"], case["context"]), (i * SIZE, 0))
    sheet.save(out / "crops.png")
    lines = ",\n    ".join(json.dumps(case) for case in cases)
    (out / "cases.json").write_text(f'{{"size": {SIZE}, "pad": {list(PAD)}, "cases": [\n    {lines}\n]}}\n')


if __name__ == "__main__":
    main()
