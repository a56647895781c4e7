"""The texts that the built-in CLIP is trained with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor

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
TRAINING = TEMPLATES + (
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


class Phrasebook:
    """What may be said of each class: the concepts' names and keywords, then one class for each kind of background.

    phrases are all of them; true_of [phrases,classes] tells which classes a phrase is true of: concepts share keywords.
    """

    def __init__(self, concepts: tuple[Concept, ...]) -> None:
        kinds = list(background().values())
        self.names = [c.name for c in concepts]
        self.classes = len(concepts) + len(kinds)
        said = [(c.name, *c.keywords) for c in concepts] + kinds
        self.phrases = list(dict.fromkeys(phrase for phrases in said for phrase in phrases))
        place = {phrase: i for i, phrase in enumerate(self.phrases)}
        self.true_of = torch.zeros(len(self.phrases), self.classes, dtype=torch.bool)
        for k, phrases in enumerate(said):
            self.true_of[[place[p] for p in phrases], k] = True
        self.name = torch.tensor([place[name] for name in self.names])
        # How often each phrase is drawn for a class. A keyword that many share says little about any of them.
        shared = self.true_of.sum(1).double()
        often = torch.zeros(self.classes, len(self.phrases), dtype=torch.float64)
        for k, phrases in enumerate(said):
            rows = torch.tensor([place[p] for p in phrases])
            if k < len(concepts):
                often[k, rows[1:]] = 0.4 / shared[rows[1:]] / (1 / shared[rows[1:]]).sum().clamp(min=1e-9)
                often[k, rows[0]] += 0.6
            else:
                often[k, rows] = 1 / len(rows)
        self._up_to = often.cumsum(1)

    def draw(self, classes: Tensor, generator: torch.Generator) -> Tensor:
        """A phrase, by its place, for each of the classes."""
        up_to = self._up_to[classes]
        at = torch.rand(len(classes), 1, generator=generator, dtype=torch.float64) * up_to[:, -1:]
        return torch.searchsorted(up_to, at, right=True)[:, 0]  # a multinomial's draw, many times as fast


class Tokens:
    """CLIP's tokens of texts, remembered."""

    def __init__(self) -> None:
        self._tokenizer = SimpleTokenizer()
        self._cache: dict[str, Tensor] = {}

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """int64 [len(texts),77]."""
        for text in texts:
            if text not in self._cache:
                self._cache[text] = self._tokenizer(text)[0]
        return torch.stack([self._cache[text] for text in texts])

    def used(self, phrases: Sequence[str]) -> Tensor:
        """The ids of every token that a phrase in a template of the training can hold."""
        # BPE works word by word, so the tokens of the parts are the tokens of the whole.
        parts = [*phrases, *(t.replace("{}", "") for t in TRAINING)]
        return torch.unique(
            torch.cat([self._tokenizer(parts[i : i + 1024]).unique() for i in range(0, len(parts), 1024)])
        )
