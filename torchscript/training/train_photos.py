"""Makes the photo half of the image tower: ImageNet's classes and COCO's categories told by
their meanings, and a person and nothing learned.

    python train_photos.py --out photos.ckpt --photos DIR --rpn rpn.ckpt

Nothing of the trunks is trained. Persons, and what is no object, are told from things by a
ridge regression on the features and COCO's logits of a few annotated photos.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import checkpoint
import meanings
import photoclip
import progress
import smallrpn
import ssdlite
import train_rpn
import trunk
import wordnet

LEAST = 12  # pixels of an object's shorter side
SAME, OTHER = 0.55, 0.4  # IoU from which on a proposal shows an object, and below which it shows none
RIDGE = 3e-4
PERSON_BIAS = 1.0  # persons are as often as all things together in photos of people, not as rare as one thing
# Added to the logits of COCO's categories, each of which is told from all else: beside ImageNet's logits, of which a
# sure class has about 10, a category that is as likely as not is a sure one too.
SURE = 11.0
THING, PERSON, NOTHING = 0, 1, 2


@dataclass(frozen=True)
class Crop:
    """A part of a photo and what it shows."""

    pixels: np.ndarray
    kind: int
    photo: int


def cut(image: Image.Image, box: np.ndarray, size: int = photoclip.SIZE, mirrored: bool = False) -> np.ndarray:
    """The box, rounded outward and resized to a square, as clipdet's --crop squash does."""
    x0, y0 = (max(0, int(np.floor(v))) for v in box[:2])
    x1, y1 = min(image.width, int(np.ceil(box[2]))), min(image.height, int(np.ceil(box[3])))
    part = image.crop((x0, y0, max(x1, x0 + 1), max(y1, y0 + 1))).resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(part)[:, ::-1] if mirrored else np.asarray(part)


def overlaps(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """IoU of a box with others [n,4]."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    both = (high - low).clip(0).prod(1)
    return both / ((box[2:] - box[:2]).prod() + (others[:, 2:] - others[:, :2]).prod(1) - both)


def crops(folder: Path, network: smallrpn.SmallRPN) -> Iterator[Crop]:
    """The annotated objects of photos, as they are and mirrored, and what the proposals of a
    network show: an object, or none where they show a part of one or many."""
    truth = json.loads((folder / "instances.json").read_text())
    person = next(c["id"] for c in truth["categories"] if c["name"] == "person")
    for photo, entry in enumerate(truth["images"]):
        image = Image.open(folder / "images" / entry["file_name"]).convert("RGB")
        found = [a for a in truth["annotations"] if a["image_id"] == entry["id"]]
        boxes = np.array([a["bbox"] for a in found], np.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        kinds = [PERSON if a["category_id"] == person else THING for a in found]
        told = [not a["iscrowd"] and min(a["bbox"][2:]) >= LEAST for a in found]
        for box, kind, whole in zip(boxes, kinds, told, strict=True):
            if whole:
                yield Crop(cut(image, box), kind, photo)
                yield Crop(cut(image, box, mirrored=True), kind, photo)
        pixels = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)
        for box in network.propose(pixels / 255)[0].numpy():
            alike = overlaps(box, boxes)
            best = int(alike.argmax()) if len(alike) else -1
            if best < 0 or alike[best] < OTHER:
                yield Crop(cut(image, box), NOTHING, photo)
            elif alike[best] >= SAME and told[best]:
                yield Crop(cut(image, box), kinds[best], photo)


def normalise(pixels: Tensor) -> Tensor:
    """uint8 [N,S,S,3] as the trunk takes them."""
    mean, std = torch.tensor(trunk.MEAN).view(1, 3, 1, 1), torch.tensor(trunk.STD).view(1, 3, 1, 1)
    return ((pixels.permute(0, 3, 1, 2).float() / 255 - mean) / std).contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True)
class Seen:
    """What a tower says of crops: ImageNet's features [N,1280,1,1], and COCO's logits
    [N,80,1,1]."""

    found: Tensor
    named: Tensor


@torch.no_grad()
def seen(tower: photoclip.PhotoTower, shown: list[Crop]) -> Seen:
    """Looks at crops."""
    said, found, named = progress.Progress("photos", 0, len(shown)), [], []
    for start in range(0, len(shown), 32):
        pixels = normalise(torch.from_numpy(np.stack([crop.pixels for crop in shown[start : start + 32]])))
        found.append(tower.features(pixels))
        named.append(tower.named(pixels))
        said.step(min(len(shown), start + 32), "crops")
    return Seen(torch.cat(found), torch.cat(named))


def learn(evidence: Tensor, known: Tensor, kinds: Tensor, ridge: float = RIDGE) -> tuple[Tensor, Tensor]:
    """Logits of a person and of nothing beside those of things: weights [2,E] on evidence
    [N,E], and biases [2]. known [N] is what the logits of things add up to. All persons
    weigh as much as all things, and as all places without.
    """
    mean, spread = evidence.mean(0), (evidence.std(0) + 0.05) * evidence.shape[1] ** 0.5
    x = (evidence - mean) / spread
    share = 1 / (3 * kinds.bincount(minlength=3).clamp(min=1))[kinds]
    matrix = torch.zeros(2, evidence.shape[1], requires_grad=True)
    bias = torch.full((2,), float(known.mean()), requires_grad=True)
    solver = torch.optim.LBFGS([matrix, bias], max_iter=120, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        solver.zero_grad()
        logits = torch.cat([known[:, None], x @ matrix.T + bias], 1)
        wrong = -(share * logits.log_softmax(1).gather(1, kinds[:, None])[:, 0]).sum()
        total = wrong + ridge * (matrix**2).sum()
        total.backward()
        return total

    solver.step(loss)
    plain = matrix.detach() / spread
    return plain, bias.detach() - plain @ mean


def pretrained(tower: photoclip.PhotoTower) -> None:
    """Puts ImageNet's and COCO's weights, and what their classes mean, into a tower."""
    path = train_rpn.weights()
    tower.trunk = trunk.load(path, even=False)
    state = checkpoint.load(path)
    scale = state["_bn1.weight"] * (state["_bn1.running_var"] + trunk.EPSILON).rsqrt()
    tower.head.weight.data = state["_conv_head.weight"] * scale[:, None, None, None]
    tower.head.bias.data = state["_bn1.bias"] - state["_bn1.running_mean"] * scale
    tower.classes.weight.data, tower.classes.bias.data = state["_fc.weight"][:, :, None, None], state["_fc.bias"]
    tower.categories = ssdlite.categories()
    tower.categories.kinds[1].bias.data += SURE
    net, sayings = wordnet.WordNet(), meanings.Sayings()
    shared = meanings.shared_by_nouns(sayings, net)
    meant = torch.cat([meanings.classes(sayings, shared, net), meanings.categories(sayings, shared, ssdlite.NAMES[1:])])
    tower.meanings.weight.data = meant.T[:, :, None, None].contiguous()


def centre(tower: photoclip.PhotoTower, crops: Seen) -> None:
    """Leaves out of the classes' meanings what crops of photos mean on average: words that mean that would be near
    every crop."""
    likely = (photoclip.SHARPNESS * tower.things(crops.found, crops.named)).softmax(1)
    mean = tower.meanings(likely).mean(0)
    tower.meanings.weight.data -= mean[:, :, :, None].detach()  # each crop's shares add up to 1


def train(out: Path, photos: Path, rpn: Path) -> dict[str, float]:
    """Learns from the photos, and the proposals of a checkpoint of train_rpn.py, and
    writes out; returns how well persons are told in photos that were left out."""
    tower = photoclip.PhotoTower().eval()
    pretrained(tower)
    network, _ = smallrpn.load(rpn)
    shown = list(crops(photos, network))
    looked = seen(tower, shown)
    centre(tower, looked)
    known = tower.things(looked.found, looked.named)[:, :, 0, 0].logsumexp(1).detach()
    evidence = tower.evidence(looked.found, looked.named)[:, :, 0, 0]
    kinds = torch.tensor([c.kind for c in shown])
    fold = torch.tensor([c.photo for c in shown]) % 5
    guessed = torch.zeros(len(shown), dtype=torch.int64)
    for k in range(5):
        rest, own = fold != k, fold == k
        matrix, bias = learn(evidence[rest], known[rest], kinds[rest])
        bias[0] += PERSON_BIAS
        guessed[own] = torch.cat([known[own, None], evidence[own] @ matrix.T + bias], 1).argmax(1)
    matrix, bias = learn(evidence, known, kinds)
    bias[0] += PERSON_BIAS
    tower.further.weight.data, tower.further.bias.data = matrix[:, :, None, None], bias
    names = ("things", "persons", "places without")
    figures = {
        f"{name} taken for {other}": float((guessed[kinds == i] == j).float().mean())
        for i, name in enumerate(names)
        for j, other in enumerate(names)
    }
    progress.write(out, {"state": tower.state_dict(), "notes": {"figures": figures}})
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description="make the photo half of the image tower")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint to write")
    parser.add_argument("--photos", type=Path, required=True, help="photos with instances.json, to learn from")
    parser.add_argument("--rpn", type=Path, required=True, help="checkpoint of train_rpn.py, for its proposals")
    arguments = parser.parse_args()
    for name, value in train(arguments.out, arguments.photos, arguments.rpn).items():
        print(f"{name}: {value:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
