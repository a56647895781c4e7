"""WordNet's nouns: what a word may mean, how that is explained, and what kind of thing it
is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import timm

import packages

ANIMAL, PERSON = "05", "18"  # WordNet's lexicographer files of animals and persons (lexnames(5WN))


@dataclass(frozen=True)
class Synset:
    """One meaning: the words for it, its explanation without examples, its lexicographer
    file."""

    words: tuple[str, ...]
    meaning: str
    file: str


class WordNet:
    """The nouns of WordNet 3.0, from its package."""

    def __init__(self, folder: Path | None = None) -> None:
        root = packages.fetch("words", folder or packages.cache_home() / "pictograms") / "usr/share/wordnet"
        self._root = root
        self.synsets: dict[str, Synset] = {}
        for fields, gloss in _lines(root / "data.noun"):
            # offset, lexicographer file, kind, count of words in hexadecimal, then word and sense number in turn
            names = tuple(w.replace("_", " ") for w in fields[4 : 4 + 2 * int(fields[3], 16) : 2])
            self.synsets[fields[0]] = Synset(names, gloss.split(";")[0].strip(), fields[1])
        # word, part of speech, count of meanings, pointers; at the end the meanings, the most frequent first
        self.senses = {
            fields[0].replace("_", " "): tuple(fields[-int(fields[2]) :]) for fields, _ in _lines(root / "index.noun")
        }

    def counts(self) -> dict[str, int]:
        """How often each noun stands in the texts whose words WordNet's authors gave
        meanings; those that never do are left out."""
        found: dict[str, int] = {}
        for line in (self._root / "cntlist.rev").read_text().splitlines():
            key, _, count = line.split(" ")
            word, _, sense = key.partition("%")
            if sense.startswith("1:"):  # a noun
                name = word.replace("_", " ")
                found[name] = found.get(name, 0) + int(count)
        return found

    def is_person(self, word: str) -> bool:
        """Whether the word's most frequent meaning is a person."""
        senses = self.senses.get(word)
        return bool(senses) and self.synsets[senses[0]].file == PERSON

    def classes(self) -> list[Synset]:
        """ImageNet's 1,000 classes in their order, which timm lists by their places in
        WordNet 3.0."""
        listed = Path(timm.__file__).parent / "data/_info/imagenet_synsets.txt"
        return [self.synsets[line.strip().removeprefix("n")] for line in listed.read_text().splitlines()]


def adjectives(folder: Path | None = None) -> list[str]:
    """Adjectives of one word, in alphabetical order."""
    root = packages.fetch("words", folder or packages.cache_home() / "pictograms") / "usr/share/wordnet"
    return sorted(f[0] for f, _ in _lines(root / "index.adj") if f[0].isalpha() and int(f[2]) > 1)


def _lines(path: Path) -> list[tuple[list[str], str]]:
    """Fields and explanation of each line but those of the licence, which begin with a
    space."""
    parts = [line.partition("|") for line in path.read_text().splitlines() if not line.startswith(" ")]
    return [(fields.split(), gloss) for fields, _, gloss in parts]
