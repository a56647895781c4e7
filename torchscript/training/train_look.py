"""Learns to tell photos from drawings by a look at the whole picture, of the features of
the region proposal network's trunk.

    python train_look.py --out look.ckpt --photos DIR --rpn rpn.ckpt
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import photorpn
import photos
import pictograms
import progress
import rpn
import scenes
import smallrpn
import train_gate

PICTURES = 400  # of each kind
RIDGE = 1e-2
SIDES = (240, 700)  # pixels of a picture's width


def drawn(styles: tuple[str, ...], seed: int, count: int) -> Iterator[Image.Image]:
    """Scenes, as someone may have kept them."""
    pictures = pictograms.load(styles)
    for i in range(count):
        rng = np.random.default_rng([seed, i, 7])
        yield train_gate.worse(rng, scenes.scene(seed, i, pictures, scenes.Layout())[0])


def photographed(of: photos.Photos, seed: int, count: int) -> Iterator[Image.Image]:
    """Parts of photos, as someone may have kept them."""
    for i in range(count):
        rng = np.random.default_rng([seed, i, 8])
        width = int(rng.integers(*SIDES))
        size = (width, round(width * float(rng.uniform(0.6, 1.5))))
        yield train_gate.worse(rng, photos.variant(rng, of, i % len(of.images), size)[0])


@torch.no_grad()
def seen(network: smallrpn.SmallRPN, pictures: Iterable[Image.Image]) -> Tensor:
    """What is looked at of pictures [N,472]."""
    proposals, rows = rpn.Proposals(network), []
    for picture in pictures:
        pixels = torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1)[None]
        sizes = torch.tensor([pixels.shape[2:]])
        resized = proposals.resized(pixels, sizes)
        maps = proposals.backbone.trunk(proposals.prepare(pixels, sizes, resized))
        rows.append(photorpn.seen(maps, resized))
    return torch.cat(rows)


def train(out: Path, folder: Path, checkpoint: Path, seed: int, leave_out: str, judged: Path | None) -> dict:
    """Learns from the photos of folder and from scenes, writes out, and returns the share
    of pictures of each kind that it is right about."""
    network, _ = smallrpn.load(checkpoint)
    figures, look = learn(network, folder, seed, leave_out, judged)
    progress.write(out, {"look": look, "notes": {"figures": figures, "seed": seed}})
    return figures


def learn(
    network: smallrpn.SmallRPN, folder: Path, seed: int, leave_out: str, judged: Path | None
) -> tuple[dict[str, float], dict[str, Tensor]]:
    """Returns the figures, and the look as a linear layer's state."""
    styles = pictograms.main_without(leave_out)
    lines = tuple(s for s in pictograms.styles_without(leave_out) if s not in styles)
    drawings = seen(network, chain(drawn(styles, seed, PICTURES * 3 // 4), drawn(lines, seed + 1, PICTURES // 4)))
    shown = seen(network, photographed(photos.Photos(folder), seed, PICTURES))
    photo = torch.cat([torch.zeros(len(drawings)), torch.ones(len(shown))])
    look = train_gate.learn(torch.cat([drawings, shown]), photo, RIDGE)
    figures: dict[str, float] = {}

    def measure(name: str, pictures: Tensor, is_photo: bool) -> None:
        """Those are sure whose other kind isn't looked for."""
        sure = torch.sigmoid(pictures @ look["weight"][0] + look["bias"])
        sure = sure if is_photo else 1 - sure
        figures[name] = float((sure > 0.5).float().mean())
        figures[f"{name}, sure"] = float((sure >= 1 - photorpn.MARGIN).float().mean())

    measure("photos trained on", shown, True)
    for name, each in train_gate.new_scenes(leave_out).items():
        measure(name, seen(network, drawn(each, 3 * 10**6, 100)), False)
    if judged:
        listed = json.loads((judged / "instances.json").read_text())["images"]
        whole = (Image.open(judged / "images" / entry["file_name"]).convert("RGB") for entry in listed)
        measure("new photos", seen(network, whole), True)
    return figures, look


def main() -> int:
    parser = argparse.ArgumentParser(description="learn to tell photos from drawings by the whole picture")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint to write")
    parser.add_argument("--photos", type=Path, required=True, help="photos with instances.json, to learn from")
    parser.add_argument("--rpn", type=Path, required=True, help="checkpoint of train_rpn.py")
    parser.add_argument("--judged", type=Path, help="photos with instances.json, to measure on")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--leave-out", default="fxemoji", choices=("", *pictograms.FAMILIES), help="not to train on")
    given = parser.parse_args()
    figures = train(given.out, given.photos, given.rpn, given.seed, given.leave_out, given.judged)
    for name, value in figures.items():
        print(f"{name}: {value:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
