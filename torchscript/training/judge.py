"""Measures models on scenes or photos, in Python: the way of clipdet, with Pillow's crops
and pycocotools' figures.

judge.py --models DIR --images DIR                  every category of instances.json asked
judge.py --models DIR --images DIR --asked 5 20     some categories asked, with a threshold
judge.py --models DIR --images DIR --named          names of ground-truth boxes
judge.py --models DIR --images DIR --proposals      the proposals alone
judge.py --models DIR --images DIR --words FILE     the best box of each word of a file, to look at
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
import re
import sys
from collections.abc import Iterator, Sequence
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

LEAST = 24  # pixels of a box's shorter side, where small objects are left out


@dataclass(frozen=True)
class Found:
    """What one picture gave: proposals [K,5], the probability [K,Q] of each query for
    each, and the detections, best first: of which proposal, of which query, and the
    score."""

    proposals: Tensor
    probability: Tensor
    rows: Tensor
    queries: Tensor
    scores: Tensor


class Judge:
    """A models directory ready to be asked for names."""

    def __init__(self, models: Path, names: Sequence[str], background: Sequence[str]) -> None:
        self._tokenizer = SimpleTokenizer()
        self._rpn, described = _load(models / "rpn.pt")
        self.proposals = described["proposals"]  # of a picture, at most
        self._image, described = _load(models / "clip-image.pt")
        self._size, self._scale = described["input_size"], described["logit_scale"]
        mode = described.get("resize_mode", "shortest")
        if mode not in ("shortest", "squash"):
            raise ValueError(f"{models}: its crops are {mode}; here they are cut as shortest or squash")
        self._squash = mode == "squash"
        self._text, _ = _load(models / "clip-text.pt")
        none = torch.empty(0, described["embedding_width"])
        self._names = self.words(names) if names else none
        self._background = self.phrases(background) if background else none

    @torch.no_grad()
    def words(self, names: Sequence[str]) -> Tensor:
        """Unit embeddings [len(names),D] of names in the default templates, averaged."""
        rows = []
        for name in names:
            each = self.phrases([t.format(name) for t in phrases.TEMPLATES])
            rows.append(torch.nn.functional.normalize(each.mean(0, keepdim=True), dim=1))
        return torch.cat(rows)

    @torch.no_grad()
    def phrases(self, texts: Sequence[str]) -> Tensor:
        """Unit embeddings [len(texts),D] of texts as they are."""
        tokens = self._tokenizer(list(texts))
        return self._text(tokens[:, : max(8, int(tokens.argmax(1).max()) + 1)])

    @torch.no_grad()
    def crops(self, picture: Image.Image, boxes: list[list[float]]) -> Tensor:
        """Unit embeddings [len(boxes),D] of boxes of a picture."""
        return self._image(torch.stack([self._crop(picture, box) for box in boxes]))

    @torch.no_grad()
    def cosines(self, picture: Image.Image, boxes: list[list[float]]) -> Tensor:
        """Returns the cosines [len(boxes),Q] of boxes of a picture and the queries."""
        return self.crops(picture, boxes) @ self._names.T

    @torch.no_grad()
    def propose(self, picture: Image.Image) -> Tensor:
        """Proposals [K,5]: boxes and objectness, best first."""
        pixels = torch.from_numpy(np.asarray(picture.convert("RGB")).copy()).permute(2, 0, 1)[None]
        rows, counts = self._rpn(pixels, torch.tensor([pixels.shape[2:]]))
        return rows[0, : int(counts[0])]

    def regions(self, picture: Image.Image) -> tuple[Tensor, Tensor]:
        """Returns the proposals [K,5] of a picture and their unit embeddings [K,D]."""
        proposals = self.propose(picture)
        return proposals, self.crops(picture, proposals[:, :4].tolist())

    def match(
        self,
        proposals: Tensor,
        embeddings: Tensor,
        asked: Sequence[int] | None = None,
        iou: float = 0.5,
        best: int | None = 100,
    ) -> Found:
        """Returns what clipdet finds without a threshold, the best of all queries. asked
        are the places of the names that are asked for; without it all are."""
        names = self._names if asked is None else self._names[list(asked)]
        cosine = embeddings @ torch.cat([names, self._background]).T
        probability = (self._scale * cosine).softmax(1)[:, : len(names)]
        score = (probability * proposals[:, 4:]).sqrt()
        kept = [nms(proposals[:, :4], s, iou) for s in score.T]
        rows = torch.cat(kept)
        queries = torch.cat([torch.full((len(k),), i) for i, k in enumerate(kept)])
        order = score[rows, queries].argsort(descending=True, stable=True)[:best]
        rows, queries = rows[order], queries[order]
        return Found(proposals, probability, rows, queries, score[rows, queries])

    def find(self, picture: Image.Image) -> Found:
        """Returns what clipdet finds of all names in a picture."""
        return self.match(*self.regions(picture))

    def _crop(self, picture: Image.Image, box: list[float]) -> Tensor:
        """Cuts the box, rounded outward, as the tower was trained: squashed, or by CLIP's own
        preparation, the shortest side to the size, then the centre."""
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


def _load(path: Path) -> tuple[torch.jit.ScriptModule, dict]:
    """Returns an archive's module and manifest."""
    extra = {"manifest.json": ""}
    module = torch.jit.load(path, _extra_files=extra).eval()
    return module, json.loads(extra["manifest.json"])


def _opened(folder: Path, truth: dict) -> Iterator[tuple[dict, Image.Image, list[dict]]]:
    """Yields the images of a folder with instances.json: the entry, the pixels and the
    annotations of each."""
    pictures = folder / "images" if (folder / "images").is_dir() else folder
    for image in truth["images"]:
        own = [a for a in truth["annotations"] if a["image_id"] == image["id"]]
        yield image, Image.open(pictures / image["file_name"]).convert("RGB"), own


def _corners(annotation: dict) -> list[float]:
    x, y, width, height = annotation["bbox"]
    return [x, y, x + width, y + height]


def judge(models: Path, folder: Path, background: Sequence[str], report: bool = False) -> dict[str, float]:
    """Figures of models on the pictures of a folder, each asked for every category; with
    report, a line for each object goes to stdout."""
    truth = json.loads((folder / "instances.json").read_text())
    names = [c["name"] for c in truth["categories"]]
    ids = [c["id"] for c in truth["categories"]]
    own = Judge(models, names, background)
    detections, proposals = [], []
    hit = quiet = absent_below = absent = with_absent = total = 0
    for image, picture, objects in _opened(folder, truth):
        found = own.find(picture)
        proposals += [_result(image, ids[0], row[:4], row[4]) for row in found.proposals.tolist()]
        boxes = found.proposals[found.rows, :4].tolist()
        for box, query, score in zip(boxes, found.queries.tolist(), found.scores.tolist(), strict=True):
            detections.append(_result(image, ids[query], box, score))
        there = [ids.index(a["category_id"]) for a in objects]
        fused = found.probability * found.proposals[:, 4:]
        for k, annotation in zip(there, objects, strict=True):
            best = int(fused[:, k].argmax())
            wanted = torch.tensor([_corners(annotation)], dtype=torch.float32)
            first = float(box_iou(wanted, found.proposals[best : best + 1, :4]))
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
            with_absent += 1
            quiet += bool(most[missing].amax() < middle)
            absent += int(missing.sum())
            absent_below += int((most[missing] < middle).sum())
    overall = _coco(truth, detections)
    return {
        "pictures": len(truth["images"]),
        "objects": total,
        "names asked": len(names),
        "AP": float(overall.stats[0]),
        "AP50": float(overall.stats[1]),
        "best box of a present name has IoU >= 0.5": hit / total,
        **_recall(truth, proposals, own.proposals),
        "pictures where every absent name's best probability is below the present ones' median": quiet
        / max(1, with_absent),
        "absent names whose best probability is below the present ones' median": absent_below / max(1, absent),
    }


def _result(image: dict, category: int, box: list[float], score: float) -> dict:
    x0, y0, x1, y1 = box
    return {"image_id": image["id"], "category_id": category, "bbox": [x0, y0, x1 - x0, y1 - y0], "score": score}


def _coco(truth: dict, results: list[dict], most: Sequence[int] = ()) -> COCOeval:
    """pycocotools' evaluation; with most, of boxes of any category, among so many of a
    picture."""
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = truth
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(results), "bbox")
        if most:
            evaluation.params.useCats = 0
            evaluation.params.iouThrs = np.array([0.5])
            evaluation.params.maxDets = list(most)
        evaluation.evaluate()
        evaluation.accumulate()
        if not most:
            evaluation.summarize()
    return evaluation


def _recall(truth: dict, proposals: list[dict], most: int) -> dict[str, float]:
    """Recall among 10, 100 and all proposals of a picture, objects of all sizes."""
    counts = sorted({min(n, most) for n in (10, 100, most)})
    found = _coco(truth, proposals, counts).eval["recall"][0, 0, 0, :]
    return {f"AR@{n} at IoU 0.5": float(v) for n, v in zip(counts, found, strict=True)}


def recall(models: Path, folder: Path, least: int = LEAST) -> dict[str, float]:
    """Returns the recall of the proposals on pictures with COCO instances, such as photos,
    of whatever category: by pycocotools, and of objects whose shorter side has at least so
    many pixels, or fewer."""
    truth = json.loads((folder / "instances.json").read_text())
    own, proposals = Judge(models, [], []), []
    covered: dict[bool, list[bool]] = {True: [], False: []}
    for image, picture, objects in _opened(folder, truth):
        rows = own.propose(picture)
        proposals += [_result(image, truth["categories"][0]["id"], r[:4], r[4]) for r in rows.tolist()]
        for annotation in objects:
            overlap = box_iou(torch.tensor([_corners(annotation)], dtype=torch.float32), rows[:, :4])
            covered[min(annotation["bbox"][2:]) >= least].append(bool((overlap >= 0.5).any()))
    figures = {"pictures": len(truth["images"]), "proposals of a picture": own.proposals}
    figures |= _recall(truth, proposals, own.proposals)
    for large, kind in ((True, f"of {least} pixels or more"), (False, "of fewer pixels")):
        if covered[large]:
            figures[f"objects {kind}"] = len(covered[large])
            figures[f"covered at IoU 0.5, objects {kind}"] = sum(covered[large]) / len(covered[large])
    return figures


def named(models: Path, folder: Path, least: int = LEAST) -> dict[str, float]:
    """Returns how often the right name of all is the first, or among the first five, for
    ground-truth boxes of photos whose shorter side is at least so many pixels: of all, of
    persons and of other things."""
    truth = json.loads((folder / "instances.json").read_text())
    names = {c["id"]: c["name"] for c in truth["categories"]}
    own = Judge(models, list(names.values()), [])
    place = {key: i for i, key in enumerate(names)}
    ranks: dict[str, list[int]] = {"all": [], "persons": [], "other things": []}
    for _, picture, objects in _opened(folder, truth):
        for annotation in objects:
            if annotation["iscrowd"] or min(annotation["bbox"][2:]) < least:
                continue
            cosine = own.cosines(picture, [_corners(annotation)])[0]
            key = annotation["category_id"]
            rank = int((cosine > cosine[place[key]]).sum())
            for kind in ("all", "persons" if names[key] == "person" else "other things"):
                ranks[kind].append(rank)
    figures: dict[str, float] = {"names asked": len(names)}
    for kind, found in ranks.items():
        if found:
            figures[f"boxes, {kind}"] = len(found)
            figures |= {f"top-{n}, {kind}": sum(r < n for r in found) / len(found) for n in (1, 5)}
    return figures


def default_threshold() -> float:
    """Returns the least score of a detection of clipdet's command, out of its source."""
    source = Path(__file__).parents[2] / "pkg/detect/params.go"
    found = re.search(r"^const DefaultThreshold = ([\d.]+)$", source.read_text(), re.MULTILINE)
    if not found:
        raise ValueError(f"{source} has no DefaultThreshold")
    return float(found[1])


def asked(
    models: Path,
    folder: Path,
    background: Sequence[str],
    counts: Sequence[int] = (5, 20),
    threshold: float | None = None,
    seed: int = 1,
) -> dict[str, float]:
    """Returns the precision and recall of what a user sees who asks each picture for so
    many names: those of what is there, at most as many, and others at random. A detection
    of the threshold or more, by default the command's, is right if it covers an object of
    its name, which no better one has, at IoU 0.5 or more. Crowds are left out."""
    threshold = default_threshold() if threshold is None else threshold
    truth = json.loads((folder / "instances.json").read_text())
    place = {c["id"]: i for i, c in enumerate(truth["categories"])}
    own = Judge(models, [c["name"] for c in truth["categories"]], background)
    right, shown, there = dict.fromkeys(counts, 0), dict.fromkeys(counts, 0), dict.fromkeys(counts, 0)
    for image, picture, objects in _opened(folder, truth):
        boxes: dict[int, list[list[float]]] = {}
        for annotation in objects:
            if not annotation["iscrowd"]:
                boxes.setdefault(place[annotation["category_id"]], []).append(_corners(annotation))
        regions = own.regions(picture)
        for count in counts:
            rng = np.random.default_rng([seed, image["id"], count])
            present = rng.permutation(sorted(boxes))[:count].astype(int).tolist()
            others = rng.permutation([i for i in place.values() if i not in boxes])[: count - len(present)]
            names = [*present, *others.astype(int).tolist()]
            found = own.match(*regions, names, best=None)
            for k, name in enumerate(names):
                mine = found.rows[(found.queries == k) & (found.scores >= threshold)]
                shown[count] += len(mine)
                there[count] += len(boxes.get(name, ()))
                right[count] += matched(found.proposals[mine, :4], torch.tensor(boxes.get(name, ())).view(-1, 4))
    figures: dict[str, float] = {"pictures": len(truth["images"]), "least score": threshold}
    for count in counts:
        figures[f"{count} names: objects"] = there[count]
        figures[f"{count} names: detections"] = shown[count]
        figures[f"{count} names: precision"] = right[count] / max(1, shown[count])
        figures[f"{count} names: recall"] = right[count] / max(1, there[count])
    return figures


def lines(path: Path) -> list[str]:
    """Returns the lines of a file that are neither empty nor a comment, after a #."""
    return [line for line in path.read_text().splitlines() if line and not line.startswith("#")]


def best(
    models: Path, folder: Path, words: Sequence[str], background: Sequence[str]
) -> list[tuple[float, str, list[float]]]:
    """Returns the best box of each word, asked for alone in all pictures: its score, the
    picture's file and the box."""
    own = Judge(models, words, background)
    found: list[tuple[float, str, list[float]]] = [(0.0, "", [])] * len(words)
    for image, picture, _ in _opened(folder, json.loads((folder / "instances.json").read_text())):
        proposals, embeddings = own.regions(picture)
        for i in range(len(words)):
            seen = own.match(proposals, embeddings, [i], best=1)
            if len(seen.scores) and float(seen.scores[0]) > found[i][0]:
                found[i] = float(seen.scores[0]), image["file_name"], proposals[seen.rows[0], :4].tolist()
    return found


def matched(found: Tensor, wanted: Tensor) -> int:
    """Returns how many boxes found [n,4], the best first, have a box wanted [m,4] of their
    own at IoU 0.5 or more. Each takes the one that it covers best of those left."""
    overlap = box_iou(found.double(), wanted.double())
    count = 0
    for row in overlap if len(wanted) else ():
        best = int(row.argmax())
        if row[best] >= 0.5:
            count += 1
            overlap[:, best] = -1
    return count


def synonyms(models: Path, pictures: pictograms.Pictograms, style: str, count: int = 200) -> dict[str, float]:
    """Asks for concepts by keywords: is one that the keyword is said of among the five that
    fit it best, of all?"""
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
    parser = argparse.ArgumentParser(description="measure models on scenes or photos")
    parser.add_argument("--models", type=Path, required=True, help="folder with rpn.pt, clip-image.pt, clip-text.pt")
    parser.add_argument("--images", type=Path, required=True, help="folder with pictures and instances.json")
    parser.add_argument("--background", type=Path, help="phrasings of the background, one a line")
    parser.add_argument("--report", action="store_true", help="a line for each object")
    parser.add_argument("--threshold", type=float, help="least score with --asked (default: clipdet's own)")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--proposals", action="store_true", help="measure the proposals alone")
    what.add_argument("--named", action="store_true", help="measure the names of ground-truth boxes")
    what.add_argument("--asked", type=int, nargs="+", metavar="N", help="ask for so many names, with the threshold")
    what.add_argument("--words", type=Path, metavar="FILE", help="the best box of each word, one a line")
    arguments = parser.parse_args()
    background = [line for group in phrases.background().values() for line in group]
    if arguments.background:
        background = lines(arguments.background)
    if arguments.words:
        words = lines(arguments.words)
        boxes = best(arguments.models, arguments.images, words, background)
        for word, (score, file, box) in zip(words, boxes, strict=True):
            print(word, f"{score:.2f}", file, *(round(x) for x in box), sep="\t")
        return 0
    if arguments.proposals:
        figures = recall(arguments.models, arguments.images)
    elif arguments.named:
        figures = named(arguments.models, arguments.images)
    elif arguments.asked:
        figures = asked(arguments.models, arguments.images, background, arguments.asked, arguments.threshold)
    else:
        figures = judge(arguments.models, arguments.images, background, arguments.report)
    for name, value in figures.items():
        print(f"{name}: {value:.3f}".replace(".000", ""))
    return 0


if __name__ == "__main__":
    sys.exit(main())
