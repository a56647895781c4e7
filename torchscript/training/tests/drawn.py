"""Pictograms for tests, drawn here: a disc, a bar, a cross and a triangle in two styles."""

import numpy as np
from PIL import Image, ImageDraw

import pictograms

NAMES = ("disc", "bar", "cross", "triangle")


def drawing(name: str, colour: tuple[int, int, int]) -> np.ndarray:
    """uint8 [128,128,4]; the bar is 96 by 24 pixels, the rest about as wide as high."""
    image = Image.new("RGBA", (128, 128))
    draw = ImageDraw.Draw(image)
    if name == "disc":
        draw.ellipse([16, 16, 111, 111], fill=colour)
    elif name == "bar":
        draw.rectangle([16, 52, 111, 75], fill=colour)
    elif name == "cross":
        draw.line([24, 24, 104, 104], fill=colour, width=16)
        draw.line([104, 24, 24, 104], fill=colour, width=16)
    else:
        draw.polygon([(64, 16), (112, 104), (16, 104)], fill=colour)
    return np.asarray(image)


def pictures() -> pictograms.Pictograms:
    """Four concepts; 'shape' is a keyword that disc and bar share."""
    keywords = {"disc": ("circle", "shape"), "bar": ("stick", "shape"), "cross": (), "triangle": ()}
    concepts = tuple(pictograms.Concept(str(i), n, n, keywords[n], 8, 0) for i, n in enumerate(NAMES))
    styles = {"warm": (220, 60, 30), "cold": (30, 80, 200)}
    return pictograms.Pictograms(concepts, {s: np.stack([drawing(n, c) for n in NAMES]) for s, c in styles.items()})
