"""The selection of pictograms, on names alone: fetching and rendering need package registries."""

import json
from pathlib import Path

import numpy as np
import pytest

import pictograms


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("dog", "dog"),
        ("person: beard", "person beard"),
        ("A button (blood type)", "a button blood type"),
        ("Japanese “here” button", "japanese here button"),
        ("keycap: #", "keycap #"),
        ("eleven-thirty", "eleven-thirty"),
    ],
)
def test_clean_name(label: str, name: str) -> None:
    assert pictograms.clean_name(label) == name


def test_unknown_style_is_named() -> None:
    with pytest.raises(ValueError, match="'crayon'"):
        pictograms.load(("crayon",))


def test_index_by_name() -> None:
    concepts = tuple(pictograms.Concept(str(i), name, name, (), 0, 0) for i, name in enumerate(("cat", "dog")))
    pictures = pictograms.Pictograms(concepts, {"drawn": np.zeros((2, 8, 8, 4), np.uint8)})
    assert pictures.index("dog") == 1
    with pytest.raises(KeyError, match="no pictogram is called 'cow'"):
        pictures.index("cow")


def test_what_a_style_draws() -> None:
    concepts = tuple(pictograms.Concept(str(i), name, name, (), 0, 0) for i, name in enumerate(("cat", "dog", "owl")))
    full, sparse = np.full((3, 8, 8, 4), 255, np.uint8), np.zeros((3, 8, 8, 4), np.uint8)
    sparse[1] = 255
    both = pictograms.Pictograms(concepts, {"full": full, "sparse": sparse})
    assert both.drawn["sparse"].tolist() == [False, True, False]
    assert both.shown == [0, 1, 2]
    assert pictograms.Pictograms(concepts, {"sparse": sparse}).shown == [1]


def test_a_family_is_left_out_as_a_whole() -> None:
    left = pictograms.styles_without("fluent")
    assert not [s for s in left if s.startswith("fluent")]
    assert set(pictograms.styles_without("")) == {*left, *pictograms.FAMILIES["fluent"]}
    assert set(pictograms.STYLES) <= set(pictograms.styles_without(""))


def test_iconify_names_are_matched_to_labels(tmp_path: Path) -> None:
    icons = {
        "icons": {"a-button": {"body": "<g/>"}, "alarmclock": {"body": "<p/>"}, "cat-face": {"body": "<q/>"}},
        "aliases": {"pinata": {"parent": "alarmclock"}},
        "width": 64,
        "height": 32,
    }
    (tmp_path / "package").mkdir()
    (tmp_path / "package/icons.json").write_text(json.dumps(icons))
    labels = ("A button (blood type)", "alarm clock", "cat", "piñata", "owl")
    concepts = tuple(pictograms.Concept(str(i), label, label, (), 0, 0) for i, label in enumerate(labels))
    found = pictograms._iconify(tmp_path, concepts)
    bodies = {labels[i]: svg[svg.index(">") + 1 : -len("</svg>")] for i, svg in found.items()}
    assert bodies == {"A button (blood type)": "<g/>", "alarm clock": "<p/>", "cat": "<q/>", "piñata": "<p/>"}
    assert 'viewBox="0 0 64 32"' in found[0]
