"""Learns to tell crops of photos from crops of drawings: at a glance, of what the drawing
tower's first layers see, and then of ImageNet's features.

    python train_gate.py --out gate.ckpt --photos DIR --rpn rpn.ckpt --clip clip.ckpt --tower photos.ckpt

--rpn, --clip and --tower are checkpoints of train_rpn.py, train_clip.py and train_photos.py.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

import photoclip
import pictograms
import progress
import scenes
import smallrpn
import train_photos

SCENES, OF_SCENE = 300, 30  # and crops of each
MAYBE = 4.0  # added to the glance's logit: 0.98 of photos' crops are seen twice, and a quarter of drawings'
PHOTOS = 1.0  # added to the gate's; at 0 photos have a lower AP50, at 2 drawings have


def worse(rng: np.random.Generator, image: Image.Image) -> Image.Image:
    """The image as someone may have kept it: smaller, and as JPEG of some quality, or
    not."""
    if rng.random() < 0.5:
        share = rng.uniform(0.4, 1)
        image = image.resize([max(8, round(side * share)) for side in image.size], Image.Resampling.BICUBIC)
    if rng.random() < 0.6:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=int(rng.integers(40, 96)))
        image = Image.open(file).convert("RGB")
    return image


def drawn(styles: tuple[str, ...], network: smallrpn.SmallRPN, seed: int, count: int = SCENES) -> Iterator[np.ndarray]:
    """Crops of scenes: what a network proposes."""
    pictures = pictograms.load(styles)
    for i in range(count):
        rng = np.random.default_rng([seed, i, 5])
        image = worse(rng, scenes.scene(seed, i, pictures, scenes.Layout())[0])
        pixels = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)
        boxes = network.propose(pixels / 255)[0].numpy()
        for box in rng.permutation(boxes)[:OF_SCENE]:
            yield train_photos.cut(image, box)


def photographed(folder: Path, network: smallrpn.SmallRPN, seed: int) -> Iterator[np.ndarray]:
    """Worse copies of what train_photos.py sees of photos."""
    rng = np.random.default_rng([seed, 6])
    for crop in train_photos.crops(folder, network):
        image = worse(rng, Image.fromarray(np.ascontiguousarray(crop.pixels)))
        yield train_photos.cut(image, np.array([0, 0, *image.size], np.float32))


@dataclass(frozen=True)
class Seen:
    """What is read of crops: by the glance [N,384], and by the gate [N,1280]."""

    glance: Tensor
    gate: Tensor


@torch.no_grad()
def seen(tower: photoclip.ImageTower, crops: list[np.ndarray]) -> Seen:
    """Looks at crops as the tower does."""
    glance, gate = [], []
    for start in range(0, len(crops), 64):
        pixels = train_photos.normalise(torch.from_numpy(np.stack(crops[start : start + 64])))
        glance.append(tower.begin(pixels)[1])
        gate.append(tower.photo.features(pixels)[:, :, 0, 0].sqrt())
    return Seen(torch.cat(glance), torch.cat(gate))


def learn(x: Tensor, photo: Tensor, ridge: float) -> dict[str, Tensor]:
    """Weight [1,D] and bias [1] of a logistic regression of x [N,D]; both kinds weigh the
    same."""
    mean, spread = x.mean(0), x.std(0) + 1e-3
    z = (x - mean) / spread
    weight, bias = torch.zeros(x.shape[1], requires_grad=True), torch.zeros((), requires_grad=True)
    balance = torch.where(photo > 0, 1 / photo.mean(), 1 / (1 - photo.mean())) / 2
    solver = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        solver.zero_grad()
        wrong = functional.binary_cross_entropy_with_logits(z @ weight + bias, photo, balance)
        total = wrong + ridge * (weight**2).sum()
        total.backward()
        return total

    solver.step(loss)
    plain = weight.detach() / spread
    return {"weight": plain[None], "bias": (bias.detach() - plain @ mean)[None]}


def told(drawings: Seen, photos: Seen) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The glance and the gate, as a linear layer's state each, learned from crops."""
    photo = torch.cat([torch.zeros(len(drawings.gate)), torch.ones(len(photos.gate))])
    glance = learn(torch.cat([drawings.glance, photos.glance]), photo, 3e-4)
    gate = learn(torch.cat([drawings.gate, photos.gate]), photo, 3e-3)
    glance["bias"] += MAYBE
    gate["bias"] += PHOTOS
    return glance, gate


def new_scenes(leave_out: str) -> dict[str, tuple[str, ...]]:
    """Returns the styles of scenes to measure on: those learned from, and the family left
    out."""
    styles = {"new scenes": pictograms.main_without(leave_out)}
    if leave_out:
        styles[f"scenes of {leave_out}, left out"] = pictograms.FAMILIES[leave_out]
    return styles


def train(
    out: Path, photos: Path, rpn: Path, clip: Path, towers: Path, seed: int, leave_out: str, judged: Path | None
) -> dict[str, float]:
    """Learns, writes out, and returns the share of crops of each kind that it is right
    about."""
    tower = photoclip.ImageTower(photoclip.photo_tower(towers), photoclip.drawings(clip).image).eval()
    network, _ = smallrpn.load(rpn)
    styles = pictograms.main_without(leave_out)
    lines = tuple(s for s in pictograms.styles_without(leave_out) if s not in styles)
    drawings = seen(tower, [*drawn(styles, network, seed), *drawn(lines, network, seed + 1, SCENES // 2)])
    shown = seen(tower, list(photographed(photos, network, seed)))
    glance, gate = told(drawings, shown)
    figures = {}

    def measure(name: str, crops: Seen, is_photo: bool) -> None:
        maybe = crops.glance @ glance["weight"][0] + glance["bias"] > 0
        photo = maybe & (crops.gate @ gate["weight"][0] + gate["bias"] > 0)
        figures[f"{name}, looked at twice"] = float(maybe.float().mean())
        figures[name] = float((photo == is_photo).float().mean())

    measure("crops of photos trained on", shown, True)
    for name, each in new_scenes(leave_out).items():
        measure(f"crops of {name}", seen(tower, list(drawn(each, network, 3 * 10**6, 40))), False)
    if judged:
        measure("crops of new photos", seen(tower, list(photographed(judged, network, seed + 1))), True)
    progress.write(out, {"glance": glance, "gate": gate, "notes": {"figures": figures, "seed": seed}})
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description="learn to tell photos from drawings")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint to write")
    parser.add_argument("--photos", type=Path, required=True, help="photos with instances.json, to learn from")
    parser.add_argument("--rpn", type=Path, required=True, help="checkpoint of train_rpn.py, for its proposals")
    parser.add_argument("--clip", type=Path, required=True, help="checkpoint of train_clip.py")
    parser.add_argument("--tower", type=Path, required=True, help="checkpoint of train_photos.py")
    parser.add_argument("--judged", type=Path, help="photos with instances.json, to measure on")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--leave-out", default="fxemoji", choices=("", *pictograms.FAMILIES), help="not to train on")
    given = parser.parse_args()
    figures = train(
        given.out, given.photos, given.rpn, given.clip, given.tower, given.seed, given.leave_out, given.judged
    )
    for name, value in figures.items():
        print(f"{name}: {value:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
