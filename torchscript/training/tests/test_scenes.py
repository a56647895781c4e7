"""Scenes are what their ground truth says, and the same for the same seed."""

import drawn
import numpy as np
import pytest

import scenes

PICTURES = drawn.pictures()


@pytest.mark.parametrize("index", range(6))
def test_a_scene_is_reproducible_and_within_its_layout(index: int) -> None:
    layout = scenes.Layout(size=(320, 240), objects=(1, 4), sides=(24, 90), overlap=0.1)
    picture, instances = scenes.scene(5, index, PICTURES, layout)
    again, same = scenes.scene(5, index, PICTURES, layout)
    assert np.array_equal(np.asarray(picture), np.asarray(again)), "the same seed and index gave other pixels"
    assert instances == same
    assert picture.size == (320, 240)
    assert 1 <= len(instances) <= 4
    assert len({i.concept for i in instances}) == len(instances), "a concept is there twice"
    for i, instance in enumerate(instances):
        x0, y0, x1, y1 = instance.box
        assert 0 <= x0 < x1 <= 320, instance
        assert 0 <= y0 < y1 <= 240, instance
        assert 23 <= max(x1 - x0, y1 - y0) <= 90, instance
        for other in instances[:i]:
            assert scenes._covered(instance.box, other.box) <= 0.1, (instance, other)


@pytest.mark.parametrize("name", drawn.NAMES)
def test_the_box_is_tight(name: str) -> None:
    rng = np.random.default_rng(3)
    picture = scenes.Image.new("RGB", (300, 300), "white")
    box = scenes.place(rng, picture, drawn.drawing(name, (0, 0, 0)), 100, 20.0, [], 0.0)
    rows, columns = np.nonzero(np.asarray(picture.convert("L")) < 200)
    seen = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    assert np.abs(np.subtract(box, seen)).max() <= 2, f"box {box}, pixels {seen}"


@pytest.mark.parametrize("kind", scenes.BACKGROUNDS)
@pytest.mark.parametrize("pastel", [False, True])
def test_backgrounds(kind: str, pastel: bool) -> None:
    picture = scenes.background(np.random.default_rng(1), (60, 40), kind, pastel)
    assert picture.mode == "RGB"
    assert picture.size == (60, 40)


def test_unknown_background_is_named() -> None:
    with pytest.raises(ValueError, match="'jungle'"):
        scenes.background(np.random.default_rng(1), (60, 40), "jungle")


def test_coco_form() -> None:
    instances = [scenes.Instance(2, "warm", (10, 20, 40, 80))]
    found = scenes.coco([("a.jpg", (320, 240), instances)], PICTURES, [0, 2])
    assert found["categories"] == [{"id": 1, "name": "disc"}, {"id": 2, "name": "cross"}]
    assert found["images"] == [{"id": 1, "file_name": "a.jpg", "width": 320, "height": 240}]
    (annotation,) = found["annotations"]
    assert (annotation["bbox"], annotation["area"], annotation["category_id"]) == ([10, 20, 30, 60], 1800, 2)


def test_a_style_draws_only_what_it_has() -> None:
    images = {style: drawings.copy() for style, drawings in PICTURES.images.items()}
    images["cold"][drawn.NAMES.index("disc")] = 0
    pictures = scenes.pictograms.Pictograms(PICTURES.concepts, images)
    for index in range(8):
        _, instances = scenes.scene(5, index, pictures, scenes.Layout(size=(320, 240), sides=(24, 90)))
        assert all(i.style == "warm" for i in instances if i.concept == drawn.NAMES.index("disc"))
    assert drawn.NAMES.index("disc") not in scenes.choose(pictures, 3, None)
    assert scenes.choose(pictures, 3, None) == scenes.choose(pictures, 3, None)
