"""The nouns of the model card are known to no class."""

import re
from pathlib import Path

import pytest
import timm

import card
import judge
import packages
import pictograms
import ssdlite

HERE = Path(card.__file__).parent
BUILTIN, TINY = (HERE.parents[1] / folder for folder in ("pkg/model/builtin", "testdata/models/tiny"))
NOUNS = judge.lines(HERE / "nouns.txt")


def forms(noun: str) -> set[str]:
    """The singular and plurals of a noun, and more."""
    return {noun, noun + "s", noun + "es", noun.removesuffix("s")}


def known(phrases: list[str]) -> list[str]:
    """The nouns that are a phrase, or, if they are one word, a word of a phrase."""
    whole = {phrase.lower() for phrase in phrases}
    words = {word for phrase in whole for word in re.findall("[a-z]+", phrase)}
    return [n for n in NOUNS if forms(n) & whole or (" " not in n and forms(n) & words)]


def test_there_are_fifty() -> None:
    assert len(set(NOUNS)) == len(NOUNS) == 50


def test_no_noun_is_a_category_of_coco() -> None:
    assert not known(list(ssdlite.NAMES))


def test_no_noun_is_a_class_of_imagenet() -> None:
    listed = (Path(timm.__file__).parent / "data/_info/imagenet_synset_to_lemma.txt").read_text().splitlines()
    of = {line.partition("\t")[0]: line.partition("\t")[2].split(", ") for line in listed}
    classes = (Path(timm.__file__).parent / "data/_info/imagenet_synsets.txt").read_text().split()
    assert len(classes) == 1000
    words = [word for synset in classes for word in of[synset]]
    assert "tabby" in words
    assert known(words) == []


@pytest.mark.pictograms
def test_no_noun_is_said_of_a_pictogram() -> None:
    folder = packages.cache_home() / "pictograms"
    assert known([phrase for c in pictograms._concepts(folder) for phrase in (c.name, *c.keywords)]) == []


def test_a_table_of_what_was_found(tmp_path: Path) -> None:
    path = tmp_path / "nouns.tsv"
    assert card.nouns(path, BUILTIN) == []
    (tmp_path / "nouns.models").write_text(card.digests(BUILTIN))
    path.write_text("noun\tfound\tscore\tverdict\nfence\ta fence, cut off\t0.70\tright\nhedge\tnothing\t0.10\twrong\n")
    found = card.nouns(path, BUILTIN)
    assert found == [("fence", "a fence, cut off", "0.70", "right"), ("hedge", "nothing", "0.10", "wrong")]
    said = card._nouns(found)
    assert "shows it in 1 of 2." in said
    assert "nothing: 1 of 2." in said
    assert "| hedge | nothing | 0.10 | wrong |" in said
    path.write_text("noun\tfound\tscore\tverdict\nfence\ta fence\t0.70\tperhaps\n")
    with pytest.raises(ValueError, match="neither right nor wrong: fence"):
        card.nouns(path, BUILTIN)
    path.write_text("noun\tfound\nfence\ta fence\n")
    with pytest.raises(ValueError, match="want a table with tabs"):
        card.nouns(path, BUILTIN)


def test_the_table_is_of_the_built_in_models_alone() -> None:
    assert [row[0] for row in card.nouns(HERE / "nouns.tsv", BUILTIN)] == NOUNS
    assert card.nouns(HERE / "nouns.tsv", TINY) == []
