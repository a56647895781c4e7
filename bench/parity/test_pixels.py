"""Decoded pictures and crops against Pillow and torchvision."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from torchvision.transforms import functional
from torchvision.transforms.functional import InterpolationMode

import reference
import stages

SIZE = 224


def forms(photo: Path, number: int, folder: Path) -> Iterator[Path]:
    """Yields a photo in each format, some turned by EXIF."""
    yield photo
    picture = Image.open(photo).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = number % 8 + 1  # orientation
    for name, options in {
        "444.jpg": {"quality": 95, "subsampling": 0},
        "progressive.jpg": {"quality": 60, "progressive": True},
        "turned.jpg": {"quality": 85, "exif": exif},
        "plain.png": {},
        "turned.png": {"exif": exif},
        "lossy.webp": {"quality": 75},
        "lossless.webp": {"lossless": True, "method": 0},
        "turned.webp": {"exif": exif, "quality": 90},
    }.items():
        path = folder / f"{number}-{name}"
        picture.save(path, **options)
        yield path


def test_decoded(programs: Path, photos: list[Path], tmp_path: Path, report: Callable[[str], None]) -> None:
    compared, values, off = 0, 0, 0
    for number, photo in enumerate(photos):
        paths = list(forms(photo, number, tmp_path))
        for path, got in zip(paths, stages.ask(programs, "decode", [str(path) for path in paths]), strict=True):
            want = np.asarray(reference.read(path))
            assert got.shape == want.shape, path
            compared, values, off = compared + 1, values + want.size, off + int((got != want).sum())
    report(f"pixels: {compared} JPEG, PNG and WebP decoded, {off} of {values:,} values differ from Pillow's")
    assert off == 0


def boxes(draw: random.Random, width: int, height: int) -> Iterator[tuple[str, reference.Box]]:
    """Yields boxes of each kind that a proposal may be, with the kind's name."""

    def placed(w: float, h: float) -> reference.Box:
        x, y = draw.uniform(0, max(width - w, 0)), draw.uniform(0, max(height - h, 0))
        return x, y, x + w, y + h

    yield "the whole picture", (0, 0, width, height)
    for _ in range(10):
        x, y = draw.randrange(width - 4), draw.randrange(height - 4)
        yield "4 px", (x, y, x + 4, y + 4)
        yield "up to 32 px", placed(draw.uniform(4, 32), draw.uniform(4, 32))
        yield "any size", placed(draw.uniform(4, width), draw.uniform(4, height))
        short = draw.uniform(4, height / 20)
        yield "20:1", placed(20 * short, short)
        short = draw.uniform(4, height / 20)
        yield "1:20", placed(short, 20 * short)
        w, h = draw.uniform(8, width), draw.uniform(8, height)
        x, y = draw.choice([-w / 2, width - w / 2]), draw.choice([-h / 3, height - h / 3])
        yield "partly outside", (x, y, x + w, y + h)


def crop(picture: Image.Image, box: reference.Box) -> np.ndarray:
    """Returns Pillow's crop of a box after CLIP's preprocessing up to the normalisation:
    float32 [3,SIZE,SIZE], 0 to 255."""
    part = picture.crop(reference.rectangle(box, *picture.size))
    part = functional.center_crop(functional.resize(part, SIZE, InterpolationMode.BICUBIC), SIZE)
    return np.asarray(part, np.float32).transpose(2, 0, 1)


def test_crops(programs: Path, photos: list[Path], device: str, report: Callable[[str], None]) -> None:
    draw = random.Random(3)
    means: dict[str, list[float]] = {}
    worst: dict[str, list[float]] = {}
    for photo in photos:
        picture = reference.read(photo)
        chosen = list(boxes(draw, *picture.size))
        request = {"Picture": str(photo), "Boxes": [box for _, box in chosen], "Size": SIZE}
        (got,) = stages.ask(programs, "crops", request, device)
        for (kind, box), one in zip(chosen, got, strict=True):
            difference = np.abs(one * 255 - crop(picture, box))
            means.setdefault(kind, []).append(difference.mean())
            worst.setdefault(kind, []).append(difference.max())
    for kind in means:
        report(
            f"crops, {kind}: {len(means[kind])}, mean difference {np.mean(means[kind]):.4f} of 255, "
            f"largest {np.max(worst[kind]):.2f}"
        )
    every, largest = np.concatenate(list(means.values())), np.concatenate(list(worst.values()))
    within = (largest <= 3).mean()
    report(f"crops: {len(every)}, mean difference {every.mean():.4f} of 255, at most 3 in {within:.2%} of them")
    assert every.mean() <= 0.1
    assert within >= 0.99
