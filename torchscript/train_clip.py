"""Trains the built-in CLIP on crops of pictograms and their names.

    python train_clip.py --out clip.ckpt [--steps 1600] [--leave-out noto]

Interrupted, the same command goes on where the last checkpoint was. The result depends on the arguments alone
(up to the order of floating-point sums).
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

import pictograms
import progress
import smallclip
from crops import CropMaker
from phrases import TEMPLATES, Phrasebook

EXTRA_TEXTS = 64  # texts without a picture of their own in the batch: more to tell apart at little cost
BACKGROUND_SHARE = 0.12


def normalise(pixels: Tensor) -> Tensor:
    """uint8 [N,3,S,S] as the image tower takes it."""
    mean, std = torch.tensor(smallclip.MEAN).view(1, 3, 1, 1), torch.tensor(smallclip.STD).view(1, 3, 1, 1)
    return ((pixels.float() / 255 - mean) / std).contiguous(memory_format=torch.channels_last)


def contrastive_loss(logits: Tensor, classes: Tensor, true_of: Tensor) -> Tensor:
    """InfoNCE both ways for logits [N,T], whose text i < N belongs to image i.

    A text that is true of an image's class, but is not that image's own, is left out: it is no negative.
    """
    n = len(logits)
    own = torch.eye(n, len(true_of), dtype=torch.bool)
    known = true_of[:, classes].T & ~own  # [N,T]
    logits = logits.masked_fill(known, -1e4)
    target = torch.arange(n)
    return (functional.cross_entropy(logits, target) + functional.cross_entropy(logits[:, :n].T, target)) / 2


def draw_classes(step_seed: int, concepts: int, kinds: int, count: int) -> Tensor:
    """Classes of a batch: different concepts, and a share of background."""
    draw = torch.Generator().manual_seed(step_seed)
    chosen = torch.randperm(concepts, generator=draw)[:count]
    empty = torch.rand(count, generator=draw) < BACKGROUND_SHARE
    return torch.where(empty, concepts + torch.randint(kinds, (count,), generator=draw), chosen)


@torch.no_grad()
def name_embeddings(model: smallclip.SmallCLIP, book: Phrasebook, names: list[str]) -> Tensor:
    """Unit embeddings [len(names),D]: the mean over the default templates, as clipdet averages."""
    rows = []
    for k in range(0, len(names), 64):
        tokens = torch.stack([book.tokens(t.format(name)) for name in names[k : k + 64] for t in TEMPLATES])
        each = functional.normalize(model.text(tokens), dim=1).view(-1, len(TEMPLATES), model.config.embedding)
        rows.append(functional.normalize(each.mean(1), dim=1))
    return torch.cat(rows)


@torch.no_grad()
def accuracy(model: smallclip.SmallCLIP, maker: CropMaker, book: Phrasebook, count: int = 1024) -> dict[str, float]:
    """Top-1 and top-5 of crops among all names, on crops that no training step draws."""
    model.eval()
    texts = name_embeddings(model, book, book.names)
    classes = torch.randint(len(book.names), (count,), generator=torch.Generator().manual_seed(7))
    top1 = top5 = 0
    for k, part in enumerate(classes.split(256)):
        crops = maker.batch((10**9, k), part)
        images = functional.normalize(model.image(normalise(crops.pixels)), dim=1)
        best = (images @ texts.T).topk(5, 1).indices
        hits = best == part[:, None]
        top1, top5 = top1 + int(hits[:, 0].sum()), top5 + int(hits.sum())
    return {"top1": top1 / count, "top5": top5 / count}


def train(
    out: Path, steps: int, batch: int, seed: int, leave_out: str, peak: float = 2e-3, average: float = 0.998
) -> dict[str, float]:
    """Trains to the end, from the checkpoint beside out if there is one, and writes out; returns the figures."""
    torch.manual_seed(seed)
    styles = tuple(s for s in pictograms.STYLES if s != leave_out)
    pictures = pictograms.load(styles)
    book = Phrasebook(pictures.concepts)
    maker = CropMaker(pictures, seed=seed)
    concepts, kinds = len(pictures.concepts), book.classes - len(pictures.concepts)
    model = smallclip.SmallCLIP()
    model.image.to(memory_format=torch.channels_last)
    decay = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    optimiser = torch.optim.AdamW(
        [{"params": decay, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}], lr=peak, betas=(0.9, 0.98)
    )
    mean = progress.Average(model, average)
    settings = {"steps": steps, "batch": batch, "seed": seed, "leave_out": leave_out, "peak": peak}
    first, resume = 0, out.with_suffix(".resume")
    if resume.exists():
        state = torch.load(resume)
        if state["settings"] != settings:
            raise ValueError(f"{resume} belongs to a run with {state['settings']}: remove it or use those settings")
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        mean.state, first = state["mean"], state["step"]
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda k: min(1, (k + 1) / 150) * (0.5 + 0.5 * np.cos(np.pi * min(1, k / steps))) + 1e-3
    )
    schedule.last_epoch = first - 1
    schedule.step()
    said = progress.Progress("clip", first, steps)
    recent = 0.0
    for step in range(first, steps):
        model.train()
        classes = draw_classes(seed * 10**6 + step, concepts, kinds, batch)
        crops = maker.batch((seed, step), classes)
        rng = random.Random(seed * 10**6 + step)
        others = [rng.randrange(book.classes) for _ in range(EXTRA_TEXTS)]
        texts = book.draw(rng, classes.tolist() + others)
        with torch.autocast("cpu", torch.bfloat16):
            images = model.image(normalise(crops.pixels))
            words = model.text(texts.tokens)
        images, words = functional.normalize(images.float(), dim=1), functional.normalize(words.float(), dim=1)
        logits = model.log_scale.exp() * images @ words.T
        loss = contrastive_loss(logits, classes, texts.true_of)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        with torch.no_grad():
            model.log_scale.clamp_(max=float(np.log(100)))  # CLIP's own bound
        mean.update(model, step)
        recent = float(loss) if not recent else 0.95 * recent + 0.05 * float(loss)
        text = f"loss {recent:.3f}, scale {model.scale():.1f}"
        if said.step(step + 1, text):
            progress.write(
                resume,
                {
                    "model": model.state_dict(),
                    "optimiser": optimiser.state_dict(),
                    "mean": mean.state,
                    "step": step + 1,
                    "settings": settings,
                },
            )
    model.load_state_dict(mean.state)
    # Tokens that no text of the training holds say nothing: zero, not noise.
    unused = torch.ones(smallclip.VOCABULARY, dtype=torch.bool)
    unused[book.used()] = False
    with torch.no_grad():
        model.text.tokens.weight[unused] = 0
    figures = {f"trained {k}": v for k, v in accuracy(model, maker, book).items()}
    if leave_out:
        unseen = CropMaker(pictograms.load((leave_out,)), seed=seed + 1)
        figures |= {f"left out {k}": v for k, v in accuracy(model, unseen, book).items()}
    out.parent.mkdir(parents=True, exist_ok=True)
    smallclip.save(str(out), model.eval(), {"settings": settings, "figures": figures})
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description="train the built-in CLIP")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint to write")
    parser.add_argument("--steps", type=int, default=1600)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--leave-out", default="", choices=("", *pictograms.STYLES), help="a style not to train on")
    arguments = parser.parse_args()
    figures = train(arguments.out, arguments.steps, arguments.batch, arguments.seed, arguments.leave_out)
    for name, value in figures.items():
        print(f"{name}: {value:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
