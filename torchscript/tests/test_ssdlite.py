"""SSDLite against TensorFlow.js, and as a part of an archive."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torch import Tensor

import rpn
import ssdlite

COFFEE = Path(__file__).parents[2] / "testdata/photos/coffee.jpg"
# What the package's model says in TensorFlow.js 4.22 (wasm) of COFFEE, which Pillow resized to 300x300 (BILINEAR): the
# six anchors whose likeliest class is the likeliest, their boxes in pixels and the probability.
GOLDEN = {
    1727: ((86.6912, 18.0546, 207.9715, 192.7426), 0.95154),
    1725: ((88.0211, 17.1135, 206.6486, 191.6767), 0.9412),
    1730: ((88.5, 16.9182, 206.6024, 194.7215), 0.93615),
    1757: ((86.0975, 14.0368, 206.4896, 212.8806), 0.9322),
    1859: ((84.1925, 8.1685, 208.9079, 199.4164), 0.87695),
    1729: ((87.8848, 14.2144, 206.6956, 195.3653), 0.81277),
}


def opened(path: Path, size: tuple[int, int] | None = None) -> Tensor:
    """A picture [1,3,H,W]."""
    picture = Image.open(path).convert("RGB")
    if size:
        picture = picture.resize(size, Image.Resampling.BILINEAR)
    return torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1)[None]


@pytest.mark.pictograms
def test_it_says_what_tensorflow_says() -> None:
    network = ssdlite.load()
    with torch.inference_mode():
        logits, deltas = network.predict(network.maps(opened(COFFEE, (300, 300)).float() / 127.5 - 1))
    boxes = rpn.decode(deltas[0], network.anchors, [10.0, 10.0, 5.0, 5.0], network.largest_delta)
    likeliest = logits[0].topk(len(GOLDEN)).indices.tolist()
    assert likeliest == list(GOLDEN)
    for row, (box, probability) in GOLDEN.items():
        assert boxes[row].tolist() == pytest.approx(box, abs=0.02)
        assert float(logits[0, row].sigmoid()) == pytest.approx(probability, abs=1e-4)


@pytest.mark.pictograms
def test_a_cup_of_coffee_is_the_best_proposal() -> None:
    picture = opened(COFFEE)
    rows = torch.jit.script(ssdlite.load())(picture, torch.tensor([picture.shape[2:]]))
    assert rows.shape == (1, ssdlite.PROPOSALS, 5)
    cup = torch.tensor([[172.0, 21, 418, 262]])
    assert float(torchvision.ops.box_iou(cup, rows[0, :1, :4])) > 0.8, rows[0, 0]


@pytest.mark.pictograms
def test_a_crop_of_a_cup_is_called_a_cup() -> None:
    crop = opened(COFFEE)[:, :, 21:262, 172:418].float()
    crop = torch.nn.functional.interpolate(crop, size=[ssdlite.CROP] * 2, mode="bilinear", antialias=True)
    logits = torch.jit.script(ssdlite.categories())(crop / 127.5 - 1)
    assert logits.shape == (1, len(ssdlite.NAMES))
    assert ssdlite.NAMES[int(logits.argmax())] == "cup"


@pytest.mark.pictograms
def test_categories_are_what_the_whole_network_says_of_its_cells() -> None:
    """At its size, with the shapes and numbers that are kept of the second map."""
    network, kept = ssdlite.load(), ssdlite.categories()
    pixels = opened(COFFEE, (300, 300)).float() / 127.5 - 1
    with torch.inference_mode():
        maps = network.maps(pixels)
        whole = network.kinds[1](maps[1]).unflatten(1, (-1, ssdlite.CLASSES))[:, ssdlite.SHAPE]
        numbers = [number for number, name in enumerate(ssdlite.NUMBERED) if name]
        torch.testing.assert_close(kept.kinds(maps[1]), whole[:, numbers])


def test_no_edge_is_rounded_out_of_the_picture() -> None:
    """A box over all 300 pixels that the network sees is 640 wide, and not 640.00006."""
    size = torch.tensor([[425, 640]])
    with torch.inference_mode():
        edges = ssdlite.SSDLite().eval()(torch.zeros(1, 3, 425, 640, dtype=torch.uint8), size)[0, :, :4]
    assert edges[:, 2].max() == 640
    assert edges[:, 3].max() <= 425


def test_names_are_cocos() -> None:
    assert len(ssdlite.NUMBERED) == ssdlite.CLASSES
    assert len(ssdlite.NAMES) == len(set(ssdlite.NAMES)) == 80
    numbered = {name: number for number, name in enumerate(ssdlite.NUMBERED, 1)}
    for name, number in {"person": 1, "stop sign": 13, "umbrella": 28, "cup": 47, "tv": 72, "toothbrush": 90}.items():
        assert numbered[name] == number


def test_proposals_are_in_their_picture_and_apart_and_of_it_alone() -> None:
    torch.manual_seed(1)
    network = torch.jit.script(ssdlite.SSDLite().eval().requires_grad_(False))
    images = torch.randint(0, 256, (2, 3, 90, 120), dtype=torch.uint8)
    sizes = torch.tensor([[90, 120], [70, 60]])
    images[1, :, 70:], images[1, :, :, 60:] = 0, 0
    rows = network(images, sizes)
    for i, (height, width) in enumerate(sizes.tolist()):
        alone = network(images[i : i + 1, :, :height, :width], sizes[i : i + 1])
        torch.testing.assert_close(rows[i : i + 1], alone, rtol=0, atol=1e-3)
        found = rows[i][rows[i, :, 4] > 0]
        assert len(found) > 0
        assert found[:, :4].min() >= 0
        assert (found[:, 2:4] <= torch.tensor([width, height])).all()
        assert (found[:-1, 4] >= found[1:, 4]).all(), "the best is not first"
        kept = rpn.suppress(found[None, :, :4], torch.ones(1, len(found), dtype=torch.bool), ssdlite.OVERLAP)
        assert kept.all(), "two overlap"


def test_there_are_as_many_anchors_as_cells_have() -> None:
    network = ssdlite.SSDLite()
    assert network.anchors.shape == (1917, 4)
    first, last = network.anchors[0], network.anchors[-1]
    # The smallest is square, a tenth of the picture, in the first of 19x19 cells.
    assert first.tolist() == pytest.approx([300 / 38 - 15, 300 / 38 - 15, 300 / 38 + 15, 300 / 38 + 15], abs=1e-3)
    assert (last[:2] + last[2:]).tolist() == pytest.approx([300, 300])
