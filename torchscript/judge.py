"""Measures models on scenes, in Python: the way of clipdet, with Pillow's crops and pycocotools' figures.

python judge.py --models DIR --images DIR [--background FILE]     scenes with instances.json, every category asked
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from open_clip.tokenizer import SimpleTokenizer
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import Tensor
from torchvision.ops import box_iou, nms

import phrases


@dataclass(frozen=True)
class Found:
    """What one picture gave: proposals [K,5], and for each query boxes [n,4] and scores [n], best first."""

    proposals: Tensor
    boxes: list[Tensor]
    scores: list[Tensor]
    probabilities: list[Tensor]


class Judge:
    """A models directory ready to be asked for names."""

    def __init__(self, models: Path, names: list[str], background: list[str]) -> None:
        self._tokenizer = SimpleTokenizer()
        self._rpn = torch.jit.load(models / "rpn.pt").eval()
        extra = {"manifest.json": ""}
        self._image = torch.jit.load(models / "clip-image.pt", _extra_files=extra).eval()
        manifest = json.loads(extra["manifest.json"])
        self._size, self._scale = manifest["input_size"], manifest["logit_scale"]
        text = torch.jit.load(models / "clip-text.pt").eval()
        rows = []
        with torch.no_grad():
            for name in names:
                each = text(self._tokenizer([t.format(name) for t in phrases.TEMPLATES]))
                rows.append(torch.nn.functional.normalize(each.mean(0, keepdim=True), dim=1))
            self._background = len(background)
            if background:
                rows.append(text(self._tokenizer(background)))
        self._classes = torch.cat(rows)

    @torch.no_grad()
    def find(self, picture: Image.Image, iou: float = 0.5, best: int = 100) -> Found:
        """Everything that clipdet would find, at most best boxes a query."""
        pixels = torch.from_numpy(np.asarray(picture.convert("RGB")).copy()).permute(2, 0, 1)[None]
        rows, counts = self._rpn(pixels, torch.tensor([pixels.shape[2:]]))
        proposals = rows[0, : int(counts[0])]
        crops = torch.stack([self._crop(picture, box) for box in proposals[:, :4].tolist()])
        cosine = self._image(crops) @ self._classes.T
        queries = len(self._classes) - self._background
        probability = (self._scale * cosine).softmax(1)[:, :queries]
        score = (probability * proposals[:, 4:]).sqrt()
        kept = [nms(proposals[:, :4], s, iou)[:best] for s in score.T]
        return Found(
            proposals,
            [proposals[k, :4] for k in kept],
            [s[k] for s, k in zip(score.T, kept, strict=True)],
            [p[k] for p, k in zip(probability.T, kept, strict=True)],
        )

    def _crop(self, picture: Image.Image, box: list[float]) -> Tensor:
        """CLIP's own preparation of the box rounded outward: shortest side to the size, then the centre."""
        x0, y0 = (max(0, math.floor(v)) for v in box[:2])
        x1, y1 = min(picture.width, math.ceil(box[2])), min(picture.height, math.ceil(box[3]))
        x1, y1 = max(x1, x0 + 1), max(y1, y0 + 1)
        width, height, size = x1 - x0, y1 - y0, self._size
        scale = size / min(width, height)
        target = (size, int(size * height / width)) if width < height else (int(size * width / height), size)
        # Cut first what the centre crop leaves out: long thin boxes would be resized to thousands of pixels.
        if max(target) > 4 * size:
            half = 2 * size / scale
            cx, cy = (x0 + x1) / 2, (y0 + y1) / 2
            x0, x1 = max(x0, int(cx - half)), min(x1, int(cx + half) + 1)
            y0, y1 = max(y0, int(cy - half)), min(y1, int(cy + half) + 1)
            target = (max(size, round((x1 - x0) * scale)), max(size, round((y1 - y0) * scale)))
        resized = picture.crop((x0, y0, x1, y1)).resize(target, Image.Resampling.BICUBIC)
        left, top = round((target[0] - size) / 2), round((target[1] - size) / 2)
        crop = np.asarray(resized.crop((left, top, left + size, top + size)))
        return torch.from_numpy(crop.copy()).permute(2, 0, 1).float() / 255


def judge(models: Path, folder: Path, background: list[str], report: bool = False) -> dict[str, float]:
    """Figures of models on the scenes of a folder; with report, a line for each pictogram goes to stdout."""
    truth = json.loads((folder / "instances.json").read_text())
    names = [c["name"] for c in truth["categories"]]
    ids = [c["id"] for c in truth["categories"]]
    own = Judge(models, names, background)
    results, seconds = [], []
    hit = reached = total = 0
    for image in truth["images"]:
        picture = Image.open(folder / image["file_name"]).convert("RGB")
        start = time.perf_counter()
        found = own.find(picture)
        seconds.append(time.perf_counter() - start)
        for category, boxes, scores in zip(ids, found.boxes, found.scores, strict=True):
            for (x0, y0, x1, y1), score in zip(boxes.tolist(), scores.tolist(), strict=True):
                box = [x0, y0, x1 - x0, y1 - y0]
                results.append({"image_id": image["id"], "category_id": category, "bbox": box, "score": score})
        for annotation in truth["annotations"]:
            if annotation["image_id"] != image["id"]:
                continue
            x, y, w, h = annotation["bbox"]
            box = torch.tensor([[x, y, x + w, y + h]], dtype=torch.float32)
            k = ids.index(annotation["category_id"])
            covered = float(box_iou(box, found.proposals[:, :4]).amax())
            first = float(box_iou(box, found.boxes[k][:1]).amax())
            total += 1
            hit += first >= 0.5
            reached += covered >= 0.5
            if report:
                print(
                    f"{image['file_name']} {names[k]}: IoU {first:.2f}, score {float(found.scores[k][0]):.2f}, "
                    f"probability {float(found.probabilities[k][0]):.2f}, best proposal's IoU {covered:.2f}"
                )
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = truth
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {
        "pictograms": total,
        "names asked": len(names),
        "AP": float(evaluation.stats[0]),
        "AP50": float(evaluation.stats[1]),
        "best box of a present name has IoU >= 0.5": hit / total,
        "a proposal of 300 has IoU >= 0.5": reached / total,
        "seconds a picture in Python (median)": float(np.median(seconds)),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="measure models on scenes")
    parser.add_argument("--models", type=Path, required=True, help="folder with rpn.pt, clip-image.pt, clip-text.pt")
    parser.add_argument("--images", type=Path, required=True, help="folder with pictures and instances.json")
    parser.add_argument("--background", type=Path, help="phrasings of the background, one a line")
    parser.add_argument("--report", action="store_true", help="a line for each pictogram")
    arguments = parser.parse_args()
    background = [line for lines in phrases.background().values() for line in lines]
    if arguments.background:
        background = [line for line in arguments.background.read_text().splitlines() if line]
    for name, value in judge(arguments.models, arguments.images, background, arguments.report).items():
        print(f"{name}: {value:.3f}".replace(".000", ""))
    return 0


if __name__ == "__main__":
    sys.exit(main())
