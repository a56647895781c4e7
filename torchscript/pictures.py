"""Crops of a folder's pictures, as a detector would cut them, for weights that need to see
some."""

import random
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


def crops(folder: Path, size: int, count: int = 256, seed: int = 1) -> Tensor:
    """Returns count crops float32 [count,3,size,size], RGB in [0,1], of random boxes of
    the pictures in a folder, as many of each. Each side of a box is a tenth of its
    picture's to all of it.

    Raises ValueError if there is no picture, or one can't be read.
    """
    paths, draw, made = listed(folder), random.Random(seed), []
    for path, share in zip(paths, shares(count, len(paths)), strict=True):
        picture = read(path)
        for _ in range(share):
            width, height = (max(1, round(side * draw.uniform(0.1, 1))) for side in picture.size)
            left, top = draw.randint(0, picture.width - width), draw.randint(0, picture.height - height)
            box = (left, top, left + width, top + height)
            crop = picture.resize((size, size), Image.Resampling.BICUBIC, box)
            made.append(torch.from_numpy(np.array(crop)).permute(2, 0, 1) / 255)
    return torch.stack(made)


def listed(folder: Path) -> list[Path]:
    """Returns the pictures of a folder. Raises ValueError if there is none."""
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise ValueError(f"{folder}: there is no picture ({', '.join(SUFFIXES)})")
    return paths


def shares(count: int, among: int) -> list[int]:
    """Returns count in as many whole parts, whose sizes differ by 1 at most."""
    return [count * (i + 1) // among - count * i // among for i in range(among)]


def read(path: Path) -> Image.Image:
    """Returns a picture, upright."""
    try:
        with Image.open(path) as picture:
            return ImageOps.exif_transpose(picture).convert("RGB")
    except (OSError, ValueError, SyntaxError) as error:
        raise ValueError(f"{path}: not a picture: {error}") from error
