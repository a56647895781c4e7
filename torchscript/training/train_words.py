"""Trains the text tower of photos: CLIP's tokens in, meanings (meanings.py) out.

    python train_words.py --out words.ckpt --photos DIR [--steps 3000]

It learns WordNet's concrete nouns, common ones most, alone and in templates, in the
plural and with an adjective; the pictograms' names and keywords, and those of what the
photos show; what is said of the background; and whole sentences, WordNet's explanations.
A template changes nothing of what a name means.
Interrupted, the same command continues where the last checkpoint was.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

import meanings
import phrases
import pictograms
import progress
import smallclip
import wordnet
import words
from phrases import TEMPLATES, TRAINING, Phrasebook, Tokens

CONFIG = smallclip.Config(embedding=meanings.WIDTH, token_width=96, text_width=256, text_heads=4, text_layers=3)
BATCH = 256
SCALE = 20.0  # of the cosines with names that the tower has to keep in their order
SENTENCES, PAIRS = 30_000, 20_000


@dataclass(frozen=True)
class Lesson:
    """Texts, what each means [N,386], and whether it is a name, which templates take."""

    texts: list[str]
    meant: Tensor
    names: bool
    share: float  # of a batch
    often: np.ndarray | None = None  # how often each text is drawn, adding up to 1; None is alike


def lessons(photos: Path, seed: int) -> tuple[list[Lesson], Tensor]:
    """All that is learned, names first, and the meanings [M,386] of the names among which the right
    one must stay first."""
    net, sayings, nouns = wordnet.WordNet(), meanings.Sayings(), words.nouns()
    known = sayings.names(nouns)
    shared = meanings.shared_by_nouns(sayings, net)
    rng = np.random.default_rng(seed)
    book = Phrasebook(pictograms.load(pictograms.STYLES).concepts)
    background = [line for lines in phrases.background().values() for line in lines]
    drawn = [phrase for phrase in book.phrases if phrase not in background]
    listed = sorted({word.lower() for synset in net.classes() for word in synset.words})
    told = sorted({s.meaning for s in net.synsets.values() if s.file in words.CONCRETE and 20 < len(s.meaning) < 120})
    told = [told[i] for i in rng.permutation(len(told))[:SENTENCES]]
    kinds = wordnet.adjectives()
    drawn_pairs = zip(rng.integers(len(kinds), size=PAIRS), rng.integers(len(nouns), size=PAIRS), strict=True)
    pairs = [f"{kinds[i]} {nouns[k]}" for i, k in drawn_pairs]
    of, counts = shared.of, net.counts()
    often = np.sqrt([1.0 + counts.get(noun, 0) for noun in nouns])
    shown = [c["name"] for c in json.loads((photos / "instances.json").read_text())["categories"]]
    taught = [
        Lesson(nouns, of(known), True, 0.44, often / often.sum()),
        Lesson(listed, of(sayings.names(listed)), True, 0.15),
        Lesson(drawn, of(sayings.names(drawn)), True, 0.12),
        Lesson(pairs, of(sayings(pairs)), True, 0.1),
        Lesson(shown, of(sayings.names(shown)), True, 0.04),
        Lesson(told, of(sayings(told)), False, 0.1),
        Lesson(background, shared.nothing(sayings(background)), False, 0.05),
    ]
    return taught, torch.cat([taught[1].meant, taught[2].meant, taught[4].meant])


def said(lesson: Lesson, count: int, rng: np.random.Generator) -> tuple[list[str], Tensor]:
    """Texts of a lesson, names as one may say them, and what they mean."""
    rows = rng.choice(len(lesson.texts), count, p=lesson.often)
    texts = []
    for row in rows:
        text = lesson.texts[row]
        if lesson.names:
            if rng.random() < 0.08 and text[-1].isalpha() and not text.endswith("s"):
                text += "s"
            text = TRAINING[rng.integers(len(TRAINING))].format(text)
        texts.append(text)
    return texts, lesson.meant[torch.from_numpy(rows)]


def begin(tower: smallclip.TextTower, taught: list[Lesson], tokens: Tokens) -> None:
    """Gives each token the mean meaning of the names that it is in, in as many numbers as
    a token has."""
    texts = [text for lesson in taught if lesson.names for text in lesson.texts]
    meant = torch.cat([lesson.meant for lesson in taught if lesson.names])
    total, count = torch.zeros(smallclip.VOCABULARY, meant.shape[1]), torch.zeros(smallclip.VOCABULARY)
    for start in range(0, len(texts), 1024):
        ids = tokens(texts[start : start + 1024])
        part = (ids > 0) & (ids < smallclip.VOCABULARY - 2)
        # A name of few tokens says more of each of them.
        share = (1 / part.sum(1).clamp(min=1).float() ** 2)[:, None].expand(ids.shape)[part]
        row = torch.arange(len(ids))[:, None].expand(ids.shape)[part]
        total.index_add_(0, ids[part], share[:, None] * meant[start : start + 1024][row])
        count.index_add_(0, ids[part], share)
    mean = total / count.clamp(min=1e-3)[:, None]
    seen = mean[count > 0]
    _, _, basis = torch.pca_lowrank(seen, q=CONFIG.token_width, center=False, niter=4)
    with torch.no_grad():
        tower.tokens.weight.normal_(std=0.02)
        tower.tokens.weight[count > 0] = 0.1 * functional.normalize(seen @ basis, dim=1)


def agreement(tower: smallclip.TextTower, tokens: Tokens, lesson: Lesson, bank: Tensor) -> list[float]:
    """Cosine with what is meant, and how often the nearest name of the bank is the same,
    of names as clipdet asks."""
    rows = torch.randperm(len(lesson.texts), generator=torch.Generator().manual_seed(5))[:512]
    found = []
    with torch.no_grad():
        for row in rows.tolist():
            texts = [t.format(lesson.texts[row]) for t in TEMPLATES] if lesson.names else [lesson.texts[row]]
            each = functional.normalize(tower(tokens(texts)), dim=1).mean(0)
            found.append(functional.normalize(each, dim=0))
    mine, meant = torch.stack(found), lesson.meant[rows]
    same = (mine @ bank.T).argmax(1) == (meant @ bank.T).argmax(1)
    return [float((mine * meant).sum(1).mean()), float(same.float().mean())]


def train(out: Path, photos: Path, steps: int, seed: int, peak: float = 2e-3) -> dict[str, float]:
    """Trains to the end, from the checkpoint beside out if there is one, and writes out;
    returns the figures."""
    torch.manual_seed(seed)
    taught, bank = lessons(photos, seed)
    tokens, tower = Tokens(), smallclip.TextTower(CONFIG)
    begin(tower, taught, tokens)
    settings = {"steps": steps, "seed": seed, "peak": peak, "config": asdict(CONFIG)}
    run = progress.Run("words", tower, out.with_suffix(".resume"), steps, peak, settings)
    counts = [round(BATCH * lesson.share) for lesson in taught]
    for step in run:
        rng = np.random.default_rng([seed, step])
        drawn = [said(lesson, count, rng) for lesson, count in zip(taught, counts, strict=True)]
        target = torch.cat([meant for _, meant in drawn])
        # Sentences apart: what is shorter would be padded to their length.
        short = [text for (part, _), lesson in zip(drawn, taught, strict=True) if lesson.names for text in part]
        long = [text for (part, _), lesson in zip(drawn, taught, strict=True) if not lesson.names for text in part]
        found = functional.normalize(torch.cat([tower(tokens(short)), tower(tokens(long))]), dim=1)
        distance = 1 - (found * target).sum(1)
        order = functional.kl_div(
            (SCALE * found @ bank.T).log_softmax(1), (SCALE * target @ bank.T).softmax(1), reduction="batchmean"
        )
        run.step(step, 10 * distance.mean() + order, f", cosine {1 - float(distance.detach().mean()):.3f}")
    # Tokens that no text of the training holds say nothing: zero, not noise.
    unused = torch.ones(smallclip.VOCABULARY, dtype=torch.bool)
    unused[tokens.used([text for lesson in taught for text in lesson.texts])] = False
    with torch.no_grad():
        tower.tokens.weight[unused] = 0
    figures = {}
    kinds = ("nouns", "ImageNet's names", "pictograms' names and keywords", "adjective and noun", "names of photos")
    for kind, lesson in zip(kinds, taught, strict=False):
        cosine, same = agreement(tower, tokens, lesson, bank)
        figures |= {f"cosine of {kind}": cosine, f"nearest name the same, {kind}": same}
    notes = {"settings": settings, "figures": figures}
    progress.write(out, {"config": asdict(CONFIG), "state": tower.state_dict(), "notes": notes})
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description="train the text tower of photos")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint to write")
    parser.add_argument(
        "--photos", type=Path, required=True, help="photos with instances.json, whose names are learned"
    )
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    for name, value in train(arguments.out, arguments.photos, arguments.steps, arguments.seed).items():
        print(f"{name}: {value:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
