"""What texts mean: where the text tower of photos is to put them.

A name is where the teacher of sentences puts the name alone and a photo of it, less what
all nouns have in common, which says nothing of any. Two more numbers stand at right
angles to all that, since the teacher mixes them with everything: how much the words speak
of a person, and how much of nothing in particular.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

import checkpoint
import packages
import phrases
import progress
import teacher
import wordnet
import words

PHOTO = "a photo of a {}."
# Words of people in general, which are no persons to WordNet.
FOLK = ("people", "persons", "humans", "passersby", "a group of people", "someone", "a person", "a human being")
SHARPNESS, CAUTION = 3.0, 2.0  # of the share of a person: words that merely have to do with persons get little
SHARE = 0.8  # length of the person's and the background's own directions in their texts
WIDTH = teacher.WIDTH + 2
PERSON, NOTHING = teacher.WIDTH, teacher.WIDTH + 1


@dataclass(frozen=True)
class Common:
    """What makes meanings of the teacher's embeddings: the mean of nouns [384], and a
    line through persons [384]."""

    mean: Tensor
    person: Tensor
    offset: Tensor

    def of(self, known: Tensor) -> Tensor:
        """Embeddings of the teacher [N,384] -> meanings [N,386], unit."""
        plain = functional.normalize(known - self.mean, dim=1)
        likely = SHARPNESS * (plain @ self.person + self.offset) - CAUTION
        share = SHARE * torch.sigmoid(likely)[:, None]
        return torch.cat([plain * (1 - share**2).sqrt(), share, torch.zeros(len(known), 1)], 1)

    def nothing(self, known: Tensor) -> Tensor:
        """The same of texts of the background."""
        plain = functional.normalize(known - self.mean, dim=1)
        rest = torch.tensor([0.0, SHARE]).expand(len(known), 2)
        return torch.cat([plain * (1 - SHARE**2) ** 0.5, rest], 1)


def common(nouns: Sequence[str], known: Tensor, folk: Tensor, net: wordnet.WordNet) -> Common:
    """What nouns have in common, and what tells persons from other nouns; known [N,384] and
    folk are the teacher's of nouns and of FOLK."""
    mean = known.mean(0)
    plain = functional.normalize(torch.cat([known, folk]) - mean, dim=1)
    is_person = torch.tensor([net.is_person(noun) for noun in nouns] + [True] * len(folk)).float()
    often = torch.cat([torch.ones(len(known)), torch.full((len(folk),), 50.0)])
    weight = torch.zeros(plain.shape[1], requires_grad=True)
    offset = torch.zeros((), requires_grad=True)
    solver = torch.optim.LBFGS([weight, offset], max_iter=60, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        solver.zero_grad()
        found = functional.binary_cross_entropy_with_logits(plain @ weight + offset, is_person, often)
        total = found + 1e-5 * (weight**2).sum()
        total.backward()
        return total

    solver.step(loss)
    return Common(mean, weight.detach(), offset.detach())


class Sayings:
    """The teacher's embeddings of many texts, made once and kept on disk."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or packages.cache_home() / "sayings"
        self._teacher: teacher.Teacher | None = None

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Unit embeddings [len(texts),384]."""
        key = hashlib.sha256("\n".join([packages.SOURCES["sentences"].sha256, *texts]).encode()).hexdigest()[:16]
        path = self._folder / f"{key}.pt"
        if path.exists():
            return checkpoint.load(path).float()
        self._teacher = self._teacher or teacher.load()
        # Texts of one length together: the teacher pads a batch to its longest.
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        found = torch.empty(len(texts), teacher.WIDTH)
        said = progress.Progress("sentences", 0, len(texts))
        for start in range(0, len(order), 256):
            rows = order[start : start + 256]
            found[rows] = self._teacher([texts[i] for i in rows])
            said.step(start + len(rows), "texts")
        progress.write(path, found.half())
        return found

    def names(self, names: Sequence[str]) -> Tensor:
        """Of names: the mean of the name alone and of a photo of it, unit
        [len(names),384]."""
        both = self(list(names)) + self([PHOTO.format(name) for name in names])
        return functional.normalize(both, dim=1)


def shared_by_nouns(sayings: Sayings, net: wordnet.WordNet) -> Common:
    """What WordNet's concrete nouns have in common."""
    nouns = words.nouns()
    return common(nouns, sayings.names(nouns), sayings.names(FOLK), net)


def classes(sayings: Sayings, shared: Common, net: wordnet.WordNet) -> Tensor:
    """Meanings of ImageNet's classes [1000,384]: of the words for each and of its
    explanation, half and half."""
    rows = []
    listed = net.classes()
    flat = [word for synset in listed for word in synset.words]
    by_word = dict(zip(flat, sayings.names(flat), strict=True))
    told = sayings([f"{synset.words[0]}: {synset.meaning}" for synset in listed])
    for synset, meaning in zip(listed, told, strict=True):
        known = torch.stack([by_word[word] for word in synset.words]).mean(0) + 0.5 * meaning
        rows.append(known / known.norm())
    return functional.normalize(torch.stack(rows) - shared.mean, dim=1)


def categories(sayings: Sayings, shared: Common, names: Sequence[str]) -> Tensor:
    """Meanings of COCO's categories [len(names),384]."""
    return functional.normalize(sayings.names(names) - shared.mean, dim=1)


def main() -> int:
    """Says what tells persons from things, on words that one would ask for."""
    net, sayings = wordnet.WordNet(), Sayings()
    shared = shared_by_nouns(sayings, net)
    asked = ["person", "man", "woman", "people", "child", "skier", "baseball player", "dog", "teddy bear", "tie", "car"]
    for name, row in zip(asked, shared.of(sayings.names(asked)), strict=True):
        print(f"{name}: {row[PERSON]:.2f}")
    background = [line for lines in phrases.background().values() for line in lines]
    print(f"{len(background)} texts of the background")
    return 0


if __name__ == "__main__":
    sys.exit(main())
