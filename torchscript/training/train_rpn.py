"""Trains the built-in region proposal network, class-agnostically, on scenes of pictograms.

    python train_rpn.py --out rpn.ckpt [--steps 700] [--leave-out fxemoji]

Interrupted, the same command goes on where the last checkpoint was.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import box_iou

import checkpoint
import packages
import pictograms
import progress
import scenes
import smallrpn

# 640x480 as the network sees it at its least side of 352, rounded to the stride of its coarsest convolution.
LAYOUT = scenes.Layout(size=(480, 352), sides=(16, 230))


class SceneCache:
    """Scenes rendered once: pixels uint8 [count,H,W,3] on disk, and boxes."""

    def __init__(self, pictures: pictograms.Pictograms, count: int, seed: int) -> None:
        key = f"{LAYOUT}{count}{seed}{list(pictures.images)}{len(pictures.concepts)}"
        folder = packages.cache_home() / "scenes" / hashlib.sha256(key.encode()).hexdigest()[:12]
        if not (folder / "boxes.npz").exists():
            _render(folder, pictures, count, seed)
        self.pixels = np.load(folder / "pixels.npy", mmap_mode="r")
        boxes = np.load(folder / "boxes.npz")
        splits = np.cumsum(boxes["counts"])[:-1]
        self.boxes = [torch.from_numpy(b) for b in np.split(boxes["boxes"], splits)]


def _render(folder: Path, pictures: pictograms.Pictograms, count: int, seed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    width, height = LAYOUT.size
    part = folder / f"pixels.{os.getpid()}.part"
    pixels = np.lib.format.open_memmap(part, "w+", np.uint8, (count, height, width, 3))
    said = progress.Progress("scenes", 0, count)
    boxes = []
    for i in range(count):
        picture, instances = scenes.scene(seed, i, pictures, LAYOUT)
        pixels[i] = np.asarray(picture)
        boxes.append(np.array([x.box for x in instances], np.float32).reshape(-1, 4))
        said.step(i + 1, f"{len(instances)} pictograms")
    pixels.flush()
    os.replace(part, folder / "pixels.npy")
    np.savez(folder / "boxes.npz", boxes=np.concatenate(boxes), counts=[len(b) for b in boxes])


def vary(pixels: Tensor, boxes: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """A scene [3,H,W] in 0..1 mirrored, recoloured, greyed or made noisy at random, and its boxes."""
    height, width = pixels.shape[1:]
    boxes = boxes.clone()
    if rng.random() < 0.5:
        pixels = pixels.flip(2)
        boxes[:, [0, 2]] = width - boxes[:, [2, 0]]
    if rng.random() < 0.3:
        pixels = pixels.flip(1)
        boxes[:, [1, 3]] = height - boxes[:, [3, 1]]
    if rng.random() < 0.5:
        pixels = pixels[torch.from_numpy(rng.permutation(3))]
    if rng.random() < 0.15:
        pixels = pixels.mean(0, keepdim=True).expand(3, -1, -1)
    if rng.random() < 0.15:
        pixels = 1 - pixels
    gain, lift = rng.uniform(0.7, 1.3), rng.uniform(-0.1, 0.1)
    return (pixels * gain + lift).clamp(0, 1), boxes


def normalise(images: Tensor) -> Tensor:
    """Images in 0..1 [B,3,H,W] as the backbone takes them."""
    mean, std = torch.tensor(smallrpn.MEAN).view(1, 3, 1, 1), torch.tensor(smallrpn.STD).view(1, 3, 1, 1)
    return ((images - mean) / std).contiguous(memory_format=torch.channels_last)


def recall(model: smallrpn.SmallRPN, pictures: pictograms.Pictograms, count: int = 60) -> dict[str, float]:
    """Share of the pictograms of new 640x480 scenes that a proposal covers with IoU >= 0.5."""
    model.eval()
    layout = scenes.Layout()
    found = dict.fromkeys((10, 100, 300), 0)
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


def train(out: Path, steps: int, batch: int, seed: int, leave_out: str, count: int, peak: float = 2e-3) -> dict:
    """Trains to the end, from the checkpoint beside out if there is one, and writes out; returns the figures."""
    torch.manual_seed(seed)
    pictures = pictograms.load(tuple(s for s in pictograms.STYLES if s not in pictograms.FAMILIES.get(leave_out, ())))
    cache = SceneCache(pictures, count, seed)
    model = smallrpn.SmallRPN().to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(model.parameters(), lr=peak, weight_decay=0.02)
    mean = progress.Average(model, 0.998)
    settings = {"steps": steps, "batch": batch, "seed": seed, "leave_out": leave_out, "scenes": count, "peak": peak}
    first, resume = 0, out.with_suffix(".resume")
    if resume.exists():
        state = checkpoint.load(resume)
        if state["settings"] != settings:
            raise ValueError(f"{resume} belongs to a run with {state['settings']}: remove it or use those settings")
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        mean.state, first = state["mean"], state["step"]
    said = progress.Progress("rpn", first, steps)
    recent: dict[str, float] = {}
    model.train()
    for step in range(first, steps):
        rng = np.random.default_rng([seed, 1, step])
        torch.manual_seed(seed * 10**6 + step)  # torchvision's sampler of anchors draws from the global generator
        rate = peak * min(1, (step + 1) / 100) * (0.5 + 0.5 * float(np.cos(np.pi * step / steps))) + 1e-6
        for group in optimiser.param_groups:
            group["lr"] = rate
        images, boxes = [], []
        for i in np.sort(rng.choice(count, batch, replace=False)):
            pixels = torch.from_numpy(cache.pixels[i].copy()).permute(2, 0, 1).float() / 255
            pixels, found = vary(pixels, cache.boxes[i], rng)
            images.append(pixels)
            boxes.append(found)
        with torch.autocast("cpu", torch.bfloat16):
            losses = model.losses(normalise(torch.stack(images)), boxes)
        loss = losses["objectness"] + losses["box"]
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 2.0)
        optimiser.step()
        mean.update(model, step)
        for name, value in losses.items():
            recent[name] = 0.95 * recent.get(name, float(value)) + 0.05 * float(value)
        if said.step(step + 1, ", ".join(f"{k} {v:.3f}" for k, v in recent.items())):
            state = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "mean": mean.state}
            progress.write(resume, {**state, "step": step + 1, "settings": settings})
    model.load_state_dict(mean.state)
    figures = {f"trained {k}": v for k, v in recall(model, pictures).items()}
    if leave_out:
        figures |= {
            f"left out {k}": v for k, v in recall(model, pictograms.load(pictograms.FAMILIES[leave_out])).items()
        }
    out.parent.mkdir(parents=True, exist_ok=True)
    smallrpn.save(out, model.eval(), {"settings": settings, "figures": figures})
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description="train the built-in region proposal network")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint to write")
    parser.add_argument("--steps", type=int, default=700)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scenes", type=int, default=1200, help="scenes to render for the training")
    parser.add_argument("--leave-out", default="fxemoji", choices=("", *pictograms.FAMILIES), help="not to train on")
    arguments = parser.parse_args()
    figures = train(
        arguments.out, arguments.steps, arguments.batch, arguments.seed, arguments.leave_out, arguments.scenes
    )
    for name, value in figures.items():
        print(f"{name}: {value:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
