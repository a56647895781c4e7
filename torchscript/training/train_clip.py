"""Trains the built-in CLIP on crops of pictograms and what they are called.

    python train_clip.py --out clip.ckpt [--steps 7000] [--leave-out fxemoji]

First the image tower: a crop must find the phrase of its class among one of every class. What a phrase means comes
from a teacher of sentences, through a projection that is learned along. Then the text tower, to say of tokens what
teacher and projection say: of the phrases in all templates, and of 40,000 nouns, so that other words land near.

Interrupted, the same command continues where the last checkpoint was. The result depends on the arguments alone
(up to the order of floating-point sums).
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

import pictograms
import progress
import smallclip
import teacher
import words
from crops import CropMaker
from phrases import TEMPLATES, TRAINING, Phrasebook, Tokens

COARSE = 48  # pixels of the crops that the first steps see: nearly half the work, and most of what they teach
COARSE_SHARE = 0.6
# Crops of no concept: few while shapes are learned, then more, as most proposals show parts, groups or nothing.
BACKGROUND_SHARE = (0.12, 0.3)
SMOOTHING = 0.05


class Projection(nn.Module):
    """The teacher's embeddings [N,384] as CLIP's, unit [N,D]: a linear map and a correction."""

    def __init__(self, embedding: int) -> None:
        super().__init__()
        self.straight = nn.Linear(teacher.WIDTH, embedding, bias=False)
        self.bent = nn.Sequential(nn.Linear(teacher.WIDTH, 768), nn.GELU(), nn.Linear(768, embedding))
        nn.init.zeros_(self.bent[2].weight)

    def forward(self, known: Tensor) -> Tensor:
        scaled = known * math.sqrt(teacher.WIDTH)
        return functional.normalize(self.straight(scaled) + self.bent(scaled), dim=1)


def normalise(pixels: Tensor) -> Tensor:
    """uint8 [N,3,S,S] as the image tower takes it."""
    mean, std = torch.tensor(smallclip.MEAN).view(1, 3, 1, 1), torch.tensor(smallclip.STD).view(1, 3, 1, 1)
    return ((pixels.float() / 255 - mean) / std).contiguous(memory_format=torch.channels_last)


def lower_precision() -> torch.autocast:
    """bfloat16 where the processor has instructions for it, without which it takes many
    times as long as float32."""
    return torch.autocast("cpu", torch.bfloat16, enabled=torch.cpu.get_capabilities().get("avx512_bf16", False))


def mix_styles(x: Tensor) -> Tensor:
    """Features [N,C,H,W] with means and deviations partly of another crop (MixStyle, Zhou et al. 2021)."""
    mean, deviation = x.mean((2, 3), keepdim=True).detach(), x.std((2, 3), keepdim=True).detach() + 1e-3
    other = torch.randperm(len(x))
    share = torch.distributions.Beta(0.3, 0.3).sample((len(x), 1, 1, 1)).to(x.dtype)
    mixed_mean = share * mean + (1 - share) * mean[other]
    mixed_deviation = share * deviation + (1 - share) * deviation[other]
    return (x - mean) / deviation * mixed_deviation + mixed_mean


def class_loss(logits: Tensor, classes: Tensor, true_of: Tensor) -> Tensor:
    """Cross-entropy of logits [N,C] over one phrase of each class; true_of [C,C] tells which classes each is true of.

    A phrase of another class that is true of the crop's class too is left out: it is no negative.
    """
    others = true_of.T[classes]  # [N,C]: which classes' phrases are true of this crop
    others[torch.arange(len(classes)), classes] = False
    chosen = functional.log_softmax(logits.masked_fill(others, -1e4), 1)
    # Label smoothing (Szegedy et al. 2015) over the phrases that are left.
    left = (~others).float()
    spread = (chosen * left).sum(1) / left.sum(1)
    right = chosen.gather(1, classes[:, None])[:, 0]
    return -((1 - SMOOTHING) * right + SMOOTHING * spread).mean()


class Batches(Dataset):
    """Crops and classes by step; made in a process of its own, beside the training."""

    def __init__(self, maker: CropMaker, kinds: int, batch: int, seed: int, steps: int) -> None:
        self._maker, self._kinds, self._batch, self._seed, self._steps = maker, kinds, batch, seed, steps

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        concepts = self._maker.concepts
        draw = torch.Generator().manual_seed(self._seed * 10**6 + step)
        fine = step >= COARSE_SHARE * self._steps
        # Different concepts, as far as there are, and a share of background.
        rounds = math.ceil(self._batch / concepts)
        chosen = torch.cat([torch.randperm(concepts, generator=draw) for _ in range(rounds)])[: self._batch]
        empty = torch.rand(self._batch, generator=draw) < BACKGROUND_SHARE[fine]
        background = concepts + torch.randint(self._kinds, (self._batch,), generator=draw)
        classes = torch.where(empty, background, chosen)
        size = self._maker.size if fine else COARSE
        return self._maker.batch((self._seed, step), classes, size).pixels, classes


class Imagery(nn.Module):
    """What the first part trains: image tower, projection, logit scale."""

    def __init__(self, model: smallclip.SmallCLIP) -> None:
        super().__init__()
        self.image, self.log_scale = model.image, model.log_scale
        self.projection = Projection(model.config.embedding)


def train_images(
    model: smallclip.SmallCLIP, run: progress.Run, part: Imagery, batches: Batches, book: Phrasebook, known: Tensor
) -> None:
    """Trains the image tower and the projection; known [phrases,384] is what the teacher says of the phrases."""
    mixing = model.image.layers[5].register_forward_hook(lambda m, _, y: mix_styles(y) if m.training else None)
    left = range(run.first, len(batches))
    loader = DataLoader(batches, batch_size=None, sampler=left, num_workers=1, prefetch_factor=4)
    every = torch.arange(book.classes)
    for step, (pixels, classes) in zip(run, loader, strict=True):
        said = book.draw(every, torch.Generator().manual_seed(step))
        with lower_precision():
            images = model.image(normalise(pixels))
        texts = part.projection(known[said])
        logits = model.log_scale.exp() * functional.normalize(images.float(), dim=1) @ texts.T
        run.step(step, class_loss(logits, classes, book.true_of[said]), f", scale {model.scale():.1f}")
        with torch.no_grad():
            model.log_scale.clamp_(max=math.log(100))  # CLIP's own bound
    mixing.remove()


def train_texts(
    model: smallclip.SmallCLIP, run: progress.Run, book: Phrasebook, meant: Tensor, nouns: list[str], noun_meant: Tensor
) -> None:
    """Trains the text tower to say of tokens what meant [phrases,D] and noun_meant [nouns,D] say of the words."""
    tokens = Tokens()
    names = meant[book.name]
    concepts = len(book.names)
    scale = model.scale()
    for step in run:
        draw = torch.Generator().manual_seed(step)
        classes = torch.cat([torch.randint(concepts, (176,), generator=draw), torch.arange(concepts, book.classes)])
        said = book.draw(classes, draw)
        others = torch.randint(len(nouns), (77,), generator=draw)
        phrases = [book.phrases[k] for k in said] + [nouns[k] for k in others]
        which = torch.randint(len(TRAINING), (len(phrases),), generator=draw)
        plain = range(176, len(classes))  # what is said of the background is a sentence already
        texts = [
            p if i in plain else TRAINING[k].format(p) for i, (p, k) in enumerate(zip(phrases, which, strict=True))
        ]
        with lower_precision():
            found = model.text(tokens(texts))
        found = functional.normalize(found.float(), dim=1)
        target = torch.cat([meant[said], noun_meant[others]])
        distance = 1 - (found * target).sum(1)
        # Among all names the right one must stay first, as sharply as the teacher says it.
        taught = functional.kl_div(
            (scale * found @ names.T).log_softmax(1), (scale * target @ names.T).softmax(1), reduction="batchmean"
        )
        run.step(step, 10 * distance.mean() + taught, f", cosine {1 - float(distance.detach().mean()):.3f}")
    # Tokens that no text of the training holds say nothing: zero, not noise.
    unused = torch.ones(smallclip.VOCABULARY, dtype=torch.bool)
    unused[tokens.used([*book.phrases, *nouns])] = False
    with torch.no_grad():
        model.text.tokens.weight[unused] = 0


@torch.no_grad()
def name_embeddings(model: smallclip.SmallCLIP, names: list[str]) -> Tensor:
    """Unit embeddings [len(names),D]: the mean over the default templates, as clipdet averages."""
    tokens, rows = Tokens(), []
    for k in range(0, len(names), 64):
        texts = [t.format(name) for name in names[k : k + 64] for t in TEMPLATES]
        each = functional.normalize(model.text(tokens(texts)), dim=1).view(-1, len(TEMPLATES), model.config.embedding)
        rows.append(functional.normalize(each.mean(1), dim=1))
    return torch.cat(rows)


@torch.no_grad()
def accuracy(model: smallclip.SmallCLIP, maker: CropMaker, texts: Tensor, concepts: Tensor) -> dict[str, float]:
    """Top-1 and top-5 of the texts [C,D] for crops of the concepts, on crops that no training step draws."""
    model.eval()
    top1 = top5 = 0
    for k, part in enumerate(concepts.split(256)):
        images = functional.normalize(model.image(normalise(maker.batch((10**9, k), part).pixels)), dim=1)
        best = (images @ texts.T).topk(5, 1).indices
        hits = best == part[:, None]
        top1, top5 = top1 + int(hits[:, 0].sum()), top5 + int(hits.sum())
    return {"top-1": top1 / len(concepts), "top-5": top5 / len(concepts)}


def crops_of(family: str, seed: int, leave_out: bool) -> tuple[CropMaker, Tensor]:
    """A maker of crops in all styles but a family's, or in that family's alone, and 1,024 concepts that it draws."""
    styles = pictograms.styles_without(family) if leave_out else pictograms.FAMILIES[family]
    pictures = pictograms.load(styles)
    drawn = torch.tensor(pictures.shown)
    concepts = drawn[torch.randint(len(drawn), (1024,), generator=torch.Generator().manual_seed(7))]
    return CropMaker(pictures, seed=seed, backgrounds=200), concepts


def train(
    out: Path, steps: int, text_steps: int, batch: int, seed: int, leave_out: str, peak: float = 2e-3
) -> dict[str, float]:
    """Trains to the end, from the checkpoints beside out if there are any, and writes out; returns the figures."""
    torch.manual_seed(seed)
    pictures = pictograms.load(pictograms.styles_without(leave_out))
    book = Phrasebook(pictures.concepts)
    model = smallclip.SmallCLIP()
    model.image.to(memory_format=torch.channels_last)
    part = Imagery(model)
    settings = {"steps": steps, "text_steps": text_steps, "batch": batch, "seed": seed, "leave_out": leave_out}
    sentences = teacher.load()
    known = sentences(book.phrases)
    images = progress.Run("clip, images", part, out.with_suffix(".images.resume"), steps, peak, settings)
    if images.first < steps:
        maker = CropMaker(pictures, seed=seed)
        batches = Batches(maker, book.classes - len(book.names), batch, seed, steps)
        train_images(model, images, part, batches, book, known)
    else:
        list(images)  # the averaged weights
    nouns = words.nouns()
    with torch.no_grad():
        meant, noun_meant = part.projection(known), part.projection(sentences(nouns))
    del sentences
    texts = progress.Run("clip, texts", model.text, out.with_suffix(".texts.resume"), text_steps, peak, settings)
    train_texts(model, texts, book, meant, nouns, noun_meant)
    names = name_embeddings(model.eval(), book.names)
    figures = {}
    kinds = {"trained styles": True} | ({leave_out + ", left out": False} if leave_out else {})
    for kind, without in kinds.items():
        maker, concepts = crops_of(leave_out, seed + 1, without)
        figures |= {f"{k} in {kind}": v for k, v in accuracy(model, maker, names, concepts).items()}
    out.parent.mkdir(parents=True, exist_ok=True)
    progress.save(out, model, {"settings": settings, "figures": figures})
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description="train the built-in CLIP")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint to write")
    parser.add_argument("--steps", type=int, default=7000)
    parser.add_argument("--text-steps", type=int, default=3000)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--leave-out", default="fxemoji", choices=("", *pictograms.FAMILIES), help="not to train on")
    arguments = parser.parse_args()
    figures = train(
        arguments.out, arguments.steps, arguments.text_steps, arguments.batch, arguments.seed, arguments.leave_out
    )
    for name, value in figures.items():
        print(f"{name}: {value:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
