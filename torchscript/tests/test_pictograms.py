"""The selection of pictograms, on names alone: fetching and rendering need package registries."""

import hashlib
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


def test_cache_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CLIPDET_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert pictograms.cache_home() == tmp_path / "cache" / "clipdet"
    monkeypatch.setenv("CLIPDET_HOME", str(tmp_path / "home"))
    assert pictograms.cache_home() == tmp_path / "home"


def test_unknown_style_is_named() -> None:
    with pytest.raises(ValueError, match="'crayon'"):
        pictograms.load(("crayon",))


def test_another_package_than_pinned_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def other(_: pictograms.Source, scratch: Path) -> Path:
        path = scratch / "package.tgz"
        path.write_bytes(b"something else")
        return path

    monkeypatch.setattr(pictograms, "_download", other)
    with pytest.raises(RuntimeError, match=hashlib.sha256(b"something else").hexdigest()):
        pictograms._fetch("twemoji", tmp_path)
    assert not list(tmp_path.iterdir()), "a refused package was left in the cache"


def test_index_by_name() -> None:
    concepts = tuple(pictograms.Concept(str(i), name, name, (), 0, 0) for i, name in enumerate(("cat", "dog")))
    pictures = pictograms.Pictograms(concepts, {"drawn": np.zeros((2, 8, 8, 4), np.uint8)})
    assert pictures.index("dog") == 1
    with pytest.raises(KeyError, match="no pictogram is called 'cow'"):
        pictures.index("cow")
