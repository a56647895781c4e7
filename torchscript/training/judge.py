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
import pictograms


@dataclass(frozen=True)
class Found:
    """What one picture gave: proposals [K,5], the probability [K,Q] of each query for each, and the detections.

    Detections, best first: of which proposal, of which query, and the score.
    """

    proposals: Tensor
    probability: Tensor
    rows: Tensor
    queries: Tensor
    scores: Tensor


class Judge:
    """A models directory ready to be asked for names."""

    def __init__(self, models: Path, names: list[str], background: list[str], squash: bool = False) -> None:
        self._tokenizer = SimpleTokenizer()
        self._rpn = torch.jit.load(models / "rpn.pt").eval()
        extra = {"manifest.json": ""}
        self._image = torch.jit.load(models / "clip-image.pt", _extra_files=extra).eval()
        manifest = json.loads(extra["manifest.json"])
        self._size, self._scale = manifest["input_size"], manifest["logit_scale"]
        self._text = torch.jit.load(models / "clip-text.pt").eval()
        self._queries, self._squash = len(names), squash
        texts = ([self.words(names)] if names else []) + ([self.phrases(background)] if background else [])
        self._classes = torch.cat(texts) if texts else torch.empty(0)

    @torch.no_grad()
    def words(self, names: list[str]) -> Tensor:
        """Unit embeddings [len(names),D] of names in the default templates, averaged."""
        rows = []
        for name in names:
            each = self.phrases([t.format(name) for t in phrases.TEMPLATES])
            rows.append(torch.nn.functional.normalize(each.mean(0, keepdim=True), dim=1))
        return torch.cat(rows)

    @torch.no_grad()
    def phrases(self, texts: list[str]) -> Tensor:
        """Unit embeddings [len(texts),D] of texts as they are."""
        tokens = self._tokenizer(texts)
        return self._text(tokens[:, : max(8, int(tokens.argmax(1).max()) + 1)])

    @torch.no_grad()
    def crops(self, picture: Image.Image, boxes: list[list[float]]) -> Tensor:
        """Unit embeddings [len(boxes),D] of boxes of a picture."""
        return self._image(torch.stack([self._crop(picture, box) for box in boxes]))

    @torch.no_grad()
    def cosines(self, picture: Image.Image, boxes: list[list[float]]) -> Tensor:
        """Returns the cosines [len(boxes),Q] of boxes of a picture and the queries."""
        return self.crops(picture, boxes) @ self._classes[: self._queries].T

    @torch.no_grad()
    def propose(self, picture: Image.Image) -> Tensor:
        """Proposals [K,5]: boxes and objectness, best first."""
        pixels = torch.from_numpy(np.asarray(picture.convert("RGB")).copy()).permute(2, 0, 1)[None]
        rows, counts = self._rpn(pixels, torch.tensor([pixels.shape[2:]]))
        return rows[0, : int(counts[0])]

    @torch.no_grad()
    def find(self, picture: Image.Image, iou: float = 0.5, best: int = 100) -> Found:
        """What clipdet finds without a threshold, the best of all queries."""
        proposals = self.propose(picture)
        cosine = self.crops(picture, proposals[:, :4].tolist()) @ self._classes.T
        probability = (self._scale * cosine).softmax(1)[:, : self._queries]
        score = (probability * proposals[:, 4:]).sqrt()
        kept = [nms(proposals[:, :4], s, iou) for s in score.T]
        rows = torch.cat(kept)
        queries = torch.cat([torch.full((len(k),), i) for i, k in enumerate(kept)])
        order = score[rows, queries].argsort(descending=True, stable=True)[:best]
        rows, queries = rows[order], queries[order]
        return Found(proposals, probability, rows, queries, score[rows, queries])

    def _crop(self, picture: Image.Image, box: list[float]) -> Tensor:
        """CLIP's own preparation of the box rounded outward: shortest side to the size, then the centre."""
        x0, y0 = (max(0, math.floor(v)) for v in box[:2])
        x1, y1 = min(picture.width, math.ceil(box[2])), min(picture.height, math.ceil(box[3]))
        x1, y1 = max(x1, x0 + 1), max(y1, y0 + 1)
        width, height, size = x1 - x0, y1 - y0, self._size
        if self._squash:
            crop = np.asarray(picture.crop((x0, y0, x1, y1)).resize((size, size), Image.Resampling.BICUBIC))
            return torch.from_numpy(crop.copy()).permute(2, 0, 1).float() / 255
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


def judge(
    models: Path, folder: Path, background: list[str], report: bool = False, squash: bool = False
) -> dict[str, float]:
    """Figures of models on the scenes of a folder; with report, a line for each pictogram goes to stdout."""
    truth = json.loads((folder / "instances.json").read_text())
    names = [c["name"] for c in truth["categories"]]
    ids = [c["id"] for c in truth["categories"]]
    own = Judge(models, names, background, squash)
    pictures = folder / "images" if (folder / "images").is_dir() else folder
    detections, proposals = [], []
    hit = quiet = absent_below = absent = scenes_with_absent = total = 0
    for image in truth["images"]:
        picture = Image.open(pictures / image["file_name"]).convert("RGB")
        found = own.find(picture)
        proposals += [_result(image, ids[0], row[:4], row[4]) for row in found.proposals.tolist()]
        boxes = found.proposals[found.rows, :4].tolist()
        for box, query, score in zip(boxes, found.queries.tolist(), found.scores.tolist(), strict=True):
            detections.append(_result(image, ids[query], box, score))
        there = [ids.index(a["category_id"]) for a in truth["annotations"] if a["image_id"] == image["id"]]
        wanted = [a["bbox"] for a in truth["annotations"] if a["image_id"] == image["id"]]
        fused = found.probability * found.proposals[:, 4:]
        for k, (x, y, w, h) in zip(there, wanted, strict=True):
            best = int(fused[:, k].argmax())
            first = float(box_iou(torch.tensor([[x, y, x + w, y + h]]).float(), found.proposals[best : best + 1, :4]))
            total += 1
            hit += first >= 0.5
            if report:
                print(
                    f"{image['file_name']} {names[k]}: IoU {first:.2f}, probability {found.probability[best, k]:.2f}, "
                    f"objectness {found.proposals[best, 4]:.2f}"
                )
        # "Not there": what names that nothing in the picture has get at best, beside what the present ones get.
        most = found.probability.amax(0)
        missing = torch.ones(len(names), dtype=torch.bool)
        missing[there] = False
        if there and missing.any():
            middle = most[there].quantile(0.5)
            scenes_with_absent += 1
            quiet += bool(most[missing].amax() < middle)
            absent += int(missing.sum())
            absent_below += int((most[missing] < middle).sum())
    overall = _coco(truth, detections)
    evaluation = _coco(truth, proposals, use_categories=False)
    recall = {f"AR@{n} at IoU 0.5": v for n, v in zip((10, 100, 300), _recall(evaluation), strict=True)}
    return {
        "scenes": len(truth["images"]),
        "pictograms": total,
        "names asked": len(names),
        "AP": float(overall.stats[0]),
        "AP50": float(overall.stats[1]),
        "best box of a present name has IoU >= 0.5": hit / total,
        **recall,
        "scenes where every absent name's best probability is below the present ones' median": quiet
        / max(1, scenes_with_absent),
        "absent names whose best probability is below the present ones' median": absent_below / max(1, absent),
    }


def _result(image: dict, category: int, box: list[float], score: float) -> dict:
    x0, y0, x1, y1 = box
    return {"image_id": image["id"], "category_id": category, "bbox": [x0, y0, x1 - x0, y1 - y0], "score": score}


def _coco(truth: dict, results: list[dict], use_categories: bool = True) -> COCOeval:
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = truth
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(results), "bbox")
        if not use_categories:
            evaluation.params.useCats = 0
            evaluation.params.iouThrs = np.array([0.5])
            evaluation.params.maxDets = [10, 100, 300]
        evaluation.evaluate()
        evaluation.accumulate()
        if use_categories:
            evaluation.summarize()
    return evaluation


def _recall(evaluation: COCOeval) -> list[float]:
    """Recall for each of maxDets, objects of all sizes."""
    return [float(v) for v in evaluation.eval["recall"][0, 0, 0, :]]


def recall(models: Path, folder: Path) -> dict[str, float]:
    """AR of the proposals on pictures with COCO instances, such as photos, of whatever category."""
    truth = json.loads((folder / "instances.json").read_text())
    own, proposals = Judge(models, [], []), []
    pictures = folder / "images" if (folder / "images").is_dir() else folder
    for image in truth["images"]:
        rows = own.propose(Image.open(pictures / image["file_name"]).convert("RGB"))
        proposals += [_result(image, truth["categories"][0]["id"], r[:4], r[4]) for r in rows.tolist()]
    found = _recall(_coco(truth, proposals, use_categories=False))
    return {f"AR@{n} at IoU 0.5": v for n, v in zip((10, 100, 300), found, strict=True)}


def named(models: Path, folder: Path, squash: bool = False, least: int = 24) -> dict[str, float]:
    """Returns how often the right name of all is the first, or among the first five, for ground-truth boxes of photos
    whose shorter side is at least so many pixels: of all, of persons and of other things."""
    truth = json.loads((folder / "instances.json").read_text())
    names = {c["id"]: c["name"] for c in truth["categories"]}
    own = Judge(models, list(names.values()), [], squash)
    place = {key: i for i, key in enumerate(names)}
    ranks: dict[str, list[int]] = {"all": [], "persons": [], "other things": []}
    pictures = folder / "images" if (folder / "images").is_dir() else folder
    for image in truth["images"]:
        picture = Image.open(pictures / image["file_name"]).convert("RGB")
        for annotation in truth["annotations"]:
            x, y, w, h = annotation["bbox"]
            if annotation["image_id"] != image["id"] or annotation["iscrowd"] or min(w, h) < least:
                continue
            cosine = own.cosines(picture, [[x, y, x + w, y + h]])[0]
            key = annotation["category_id"]
            rank = int((cosine > cosine[place[key]]).sum())
            for kind in ("all", "persons" if names[key] == "person" else "other things"):
                ranks[kind].append(rank)
    return {
        f"top-{n} of {kind}": sum(r < n for r in found) / max(1, len(found))
        for kind, found in ranks.items()
        for n in (1, 5)
    } | {"boxes": len(ranks["all"])}


def synonyms(models: Path, pictures: pictograms.Pictograms, style: str, count: int = 200) -> dict[str, float]:
    """Asks for concepts by keywords: is one that the keyword is said of among the five that fit it best, of all?"""
    own = Judge(models, [], [])
    shown = np.nonzero(pictures.drawn[style])[0].tolist()
    images = []
    for k in shown:
        drawing = Image.fromarray(np.asarray(pictures.images[style][k]))
        left, top, right, bottom = drawing.getchannel("A").getbbox()
        sheet = Image.new("RGB", drawing.size, "white")
        sheet.paste(drawing, mask=drawing)
        images.append(own.crops(sheet, [[left, top, right, bottom]]))
    images = torch.cat(images)
    said: dict[str, set[int]] = {}
    for row, k in enumerate(shown):
        for keyword in pictures.concepts[k].keywords:
            said.setdefault(keyword, set()).add(row)
    # Words that many concepts share ("animal") are no other name of any of them.
    words = sorted(w for w, rows in said.items() if len(rows) <= 3)
    asked = np.random.default_rng(200).choice(words, min(count, len(words)), replace=False).tolist()
    best = (own.words(asked) @ images.T).topk(5, 1).indices.tolist()
    right = [bool(said[w] & set(rows)) for w, rows in zip(asked, best, strict=True)]
    return {"keywords asked": len(asked), "right concept in the top 5": sum(right) / len(right)}


def main() -> int:
    parser = argparse.ArgumentParser(description="measure models on scenes")
    parser.add_argument("--models", type=Path, required=True, help="folder with rpn.pt, clip-image.pt, clip-text.pt")
    parser.add_argument("--images", type=Path, required=True, help="folder with pictures and instances.json")
    parser.add_argument("--background", type=Path, help="phrasings of the background, one a line")
    parser.add_argument("--proposals", action="store_true", help="measure the proposals alone")
    parser.add_argument("--report", action="store_true", help="a line for each pictogram")
    arguments = parser.parse_args()
    background = [line for lines in phrases.background().values() for line in lines]
    if arguments.background:
        background = [line for line in arguments.background.read_text().splitlines() if line]
    if arguments.proposals:
        figures = recall(arguments.models, arguments.images)
    else:
        figures = judge(arguments.models, arguments.images, background, arguments.report)
    for name, value in figures.items():
        print(f"{name}: {value:.3f}".replace(".000", ""))
    return 0


if __name__ == "__main__":
    sys.exit(main())
