"""What tests learn from, drawn here: pictograms of a disc, a bar, a cross and a triangle in
two styles, and what stands for photos."""

import json
from pathlib import Path

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


def photos(folder: Path) -> Path:
    """Writes two grey photos with a red rectangle each, which is a person, into a folder
    and returns it; one more object is a crowd."""
    (folder / "images").mkdir(parents=True)
    images, annotations, licences = [], [], ["file\tlicence\tsource"]
    for k, (x0, y0, x1, y1) in enumerate([(40, 30, 110, 90), (20, 50, 80, 100)]):
        name = f"{k}.png"
        image = Image.new("RGB", (160, 120), (128, 128, 128))
        image.paste((255, 0, 0), (x0, y0, x1, y1))
        image.save(folder / "images" / name)
        images.append({"id": 7 + k, "file_name": name, "width": 160, "height": 120})
        polygon = [[x0, y0, x1, y0, x1, y1, x0, y1]]
        box = [x0, y0, x1 - x0, y1 - y0]
        one = {"image_id": 7 + k, "category_id": 1, "bbox": box, "area": box[2] * box[3], "segmentation": polygon}
        annotations.append({**one, "id": 2 * k + 1, "iscrowd": 0})
        annotations.append({**one, "id": 2 * k + 2, "iscrowd": 1, "segmentation": {"counts": []}})
        licences.append(f"{name}\tCC BY 2.0\thttps://example.com/{name}")
    categories = [{"id": i + 1, "name": name} for i, name in enumerate(("person", "dog", "kite"))]
    truth = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "instances.json").write_text(json.dumps(truth))
    (folder / "LICENCES.tsv").write_text("\n".join(licences) + "\n")
    return folder
