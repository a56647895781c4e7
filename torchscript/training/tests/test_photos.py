"""Photos to train on: their boxes go where their pixels go."""

from pathlib import Path

import drawn
import numpy as np
import pytest
from PIL import Image

import photos

SIZE = (96, 64)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return drawn.photos(tmp_path)


def red_box(picture: Image.Image) -> tuple[int, int, int, int]:
    """The box of what is red, however bright."""
    pixels = np.asarray(picture).astype(int)
    rows, columns = np.nonzero(pixels[:, :, 0] > pixels[:, :, 1:].max(2) + 40)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def test_a_variants_boxes_are_around_its_objects(folder: Path) -> None:
    own, seen = photos.Photos(folder), 0
    assert [len(boxes) for boxes in own.boxes] == [1, 1], "no crowd"
    for i in range(60):
        picture, boxes = photos.variant(np.random.default_rng(i), own, i % 2, SIZE)
        assert picture.size == SIZE
        for box in boxes:
            assert np.allclose(box, red_box(picture), atol=1.5), f"variant {i}"
            seen += 1
    assert seen > 40


def test_objects_are_cut_along_their_polygons(folder: Path) -> None:
    cut = photos.Photos(folder).objects[0]
    alpha = np.asarray(cut.getchannel("A"))
    assert alpha[20:40, 20:40].min() == 255
    assert 0 < alpha[1, 30] < 255, "the edge is blended"


def test_collages_depend_on_their_seed_and_have_boxes_of_what_is_pasted(folder: Path) -> None:
    own, pictures, objects = photos.Photos(folder), drawn.pictures(), 0
    for i in range(20):
        picture, boxes = photos.collage(np.random.default_rng(i), own, pictures, SIZE)
        again, same = photos.collage(np.random.default_rng(i), own, pictures, SIZE)
        assert boxes == same
        assert np.array_equal(np.asarray(picture), np.asarray(again))
        for x0, y0, x1, y1 in boxes:
            assert 0 <= x0 < x1 <= SIZE[0]
            assert 0 <= y0 < y1 <= SIZE[1]
        objects += len(boxes)
    assert objects > 30


def test_what_is_pasted_is_where_its_box_is(folder: Path) -> None:
    sprite = photos.Photos(folder).objects[0]
    for i in range(20):
        picture = Image.new("RGB", SIZE, (128, 128, 128))
        box = photos.paste(np.random.default_rng(i), picture, sprite, 30, [])
        assert box is not None
        assert np.allclose(box, red_box(picture), atol=2), f"seed {i}"
