"""Learns to tell crops of photos from crops of drawings, of what the drawing tower's
first layers see.

    python train_gate.py --out gate.ckpt --photos DIR --rpn rpn.ckpt --clip clip.ckpt

--rpn and --clip are checkpoints of train_rpn.py and train_clip.py.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Iterator
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
PHOTOS = 0.25  # added to the logit; at 0 drawings have a higher AP50, at 0.5 photos have


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


@torch.no_grad()
def seen(tower: photoclip.ImageTower, crops: list[np.ndarray]) -> Tensor:
    """What the gate reads of crops [N,384]."""
    rows = []
    for start in range(0, len(crops), 64):
        pixels = torch.from_numpy(np.stack(crops[start : start + 64]))
        rows.append(tower.begin(train_photos.normalise(pixels))[1])
    return torch.cat(rows)


def learn(x: Tensor, photo: Tensor, ridge: float = 3e-4) -> tuple[Tensor, Tensor]:
    """Weights [1,384] and bias [1] of a logistic regression; both kinds weigh the same."""
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
    return plain[None], (bias.detach() - plain @ mean)[None]


def train(
    out: Path, photos: Path, rpn: Path, clip: Path, seed: int, leave_out: str, judged: Path | None
) -> dict[str, float]:
    """Learns, writes out, and returns the share of crops of each kind that it is right
    about."""
    tower = photoclip.ImageTower(photoclip.PhotoTower(), photoclip.drawings(clip).image).eval()
    network, _ = smallrpn.load(rpn)
    styles = tuple(s for s in pictograms.STYLES if s not in pictograms.FAMILIES.get(leave_out, ()))
    lines = tuple(s for s in pictograms.styles_without(leave_out) if s not in styles)
    drawings = [*drawn(styles, network, seed), *drawn(lines, network, seed + 1, SCENES // 2)]
    judged_styles = {"new scenes": styles}
    if leave_out:
        judged_styles[f"scenes of {leave_out}, left out"] = pictograms.FAMILIES[leave_out]
    shown = [seen(tower, drawings), seen(tower, list(photographed(photos, network, seed)))]
    x = torch.cat(shown)
    photo = torch.cat([torch.full((len(part),), float(i)) for i, part in enumerate(shown)])
    weight, bias = learn(x, photo)
    bias = bias + PHOTOS
    tower.gate.weight.data, tower.gate.bias.data = weight, bias
    figures = {}

    def right(part: Tensor, is_photo: bool) -> float:
        return float(((part @ weight[0] + bias > 0) == is_photo).float().mean())

    figures["crops of photos trained on"] = right(shown[1], True)
    for name, each in judged_styles.items():
        figures[f"crops of {name}"] = right(seen(tower, list(drawn(each, network, 3 * 10**6, 40))), False)
    if judged:
        figures["crops of new photos"] = right(seen(tower, list(photographed(judged, network, seed + 1))), True)
    progress.write(out, {"weight": weight, "bias": bias, "notes": {"figures": figures, "seed": seed}})
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description="learn to tell photos from drawings")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint to write")
    parser.add_argument("--photos", type=Path, required=True, help="photos with instances.json, to learn from")
    parser.add_argument("--rpn", type=Path, required=True, help="checkpoint of train_rpn.py, for its proposals")
    parser.add_argument("--clip", type=Path, required=True, help="checkpoint of train_clip.py")
    parser.add_argument("--judged", type=Path, help="photos with instances.json, to measure on")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--leave-out", default="fxemoji", choices=("", *pictograms.FAMILIES), help="not to train on")
    given = parser.parse_args()
    figures = train(given.out, given.photos, given.rpn, given.clip, given.seed, given.leave_out, given.judged)
    for name, value in figures.items():
        print(f"{name}: {value:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
