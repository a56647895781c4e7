"""The texts that the built-in CLIP is trained with."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from open_clip.tokenizer import SimpleTokenizer

from pictograms import Concept

# The seven templates that CLIP's authors recommend when one wants few (Prompt_Engineering_for_ImageNet.ipynb).
TEMPLATES = (
    "itap of a {}.",
    "a bad photo of the {}.",
    "a origami {}.",
    "a photo of the large {}.",
    "a {} in a video game.",
    "art of the {}.",
    "a photo of the small {}.",
)
_TRAINING = TEMPLATES + (
    "{}",
    "{}",
    "a {}",
    "the {}",
    "a photo of a {}",
    "a photo of a {}.",
    "a picture of a {}",
    "a drawing of a {}.",
    "an icon of a {}",
    "a pictogram of a {}",
    "{} emoji",
    "a sticker of a {}",
    "an illustration of a {}",
    "a photo of {}",
    "there is a {} in the scene.",
)


def background() -> dict[str, tuple[str, ...]]:
    """The phrasings of background.txt by the kind of crop that they describe."""
    kinds: dict[str, list[str]] = {}
    for line in (Path(__file__).parent / "background.txt").read_text().splitlines():
        if line.startswith("# kind: "):
            kind = kinds.setdefault(line.removeprefix("# kind: "), [])
        elif line and not line.startswith("#"):
            kind.append(line)
    return {name: tuple(lines) for name, lines in kinds.items()}


@dataclass(frozen=True)
class Texts:
    """A batch of texts: tokens int64 [N,77] and, for each, the classes [N,classes] that it is true of."""

    tokens: torch.Tensor
    true_of: torch.Tensor


class Phrasebook:
    """Phrases of every class: the concepts first, then one class for each kind of background."""

    def __init__(self, concepts: tuple[Concept, ...]) -> None:
        self._tokenizer = SimpleTokenizer()
        self._cache: dict[str, torch.Tensor] = {}
        kinds = list(background().values())
        self.classes = len(concepts) + len(kinds)
        self.names = [c.name for c in concepts]
        self._keywords = [c.keywords for c in concepts]
        self._kinds = kinds
        users: dict[str, set[int]] = {}
        for i, concept in enumerate(concepts):
            for phrase in (concept.name, *concept.keywords):
                users.setdefault(phrase, set()).add(i)
        self._users = {phrase: np.array(sorted(found)) for phrase, found in users.items()}

    def draw(self, rng: random.Random, classes: list[int]) -> Texts:
        """One random text for each class."""
        tokens, true_of = [], torch.zeros(len(classes), self.classes, dtype=torch.bool)
        for row, k in enumerate(classes):
            if k >= len(self.names):
                tokens.append(self.tokens(rng.choice(self._kinds[k - len(self.names)])))
                true_of[row, k] = True
                continue
            phrase = self._phrase(rng, k)
            # "dog, pet" is true of what "dog" is true of.
            true_of[row, torch.from_numpy(self._users[phrase])] = True
            if phrase == self.names[k] and self._keywords[k] and rng.random() < 0.15:
                phrase = f"{phrase}, {rng.choice(self._keywords[k])}"
            tokens.append(self.tokens(rng.choice(_TRAINING).format(phrase)))
        return Texts(torch.stack(tokens), true_of)

    def _phrase(self, rng: random.Random, k: int) -> str:
        keywords = self._keywords[k]
        if not keywords or rng.random() < 0.6:
            return self.names[k]
        # A keyword that many concepts share says little about any of them.
        return rng.choices(keywords, [1 / len(self._users[w]) for w in keywords])[0]

    def tokens(self, text: str) -> torch.Tensor:
        """CLIP's ids of a text, int64 [77]."""
        if text not in self._cache:
            self._cache[text] = self._tokenizer(text)[0]
        return self._cache[text]

    def used(self) -> torch.Tensor:
        """The ids of every token that a text of this book can hold."""
        # BPE works word by word, so the tokens of the parts are the tokens of the whole.
        lines = [line for kind in self._kinds for line in kind]
        texts = [*self._users, *lines, *(t.replace("{}", "") for t in _TRAINING), ","]
        return torch.unique(self._tokenizer(texts))
