"""Zero-shot detection in plain Python, as the method is first described. clipdet is
compared with it.

    ./setup-libtorch.sh python bench/reference.py -q dog -q "bike=a bicycle|bike" a.jpg

torchvision's region proposal network finds boxes. CLIP embeds each box's pixels. A query
is the mean of its phrasings' embeddings, and the cosine ranks the boxes for each query.
It takes one picture, one crop and one phrasing at a time, in float32.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import open_clip
import torch
from PIL import Image, ImageOps
from torch import Tensor, nn
from torch.nn.functional import normalize
from torchvision.models import detection
from torchvision.models.detection.transform import resize_boxes
from torchvision.transforms.functional import to_tensor

import stages

Box = tuple[float, float, float, float]  # x0, y0, x1, y1: edges in pixels of the picture


@dataclass(frozen=True)
class Models:
    """The models, in evaluation mode: a torchvision Faster R-CNN, an open_clip model and
    its preprocessing."""

    detector: nn.Module
    clip: nn.Module
    preprocess: Callable[[Image.Image], Tensor]

    def to(self, device: str) -> Models:
        """Moves the networks to a device, in place."""
        return Models(self.detector.to(device), self.clip.to(device), self.preprocess)


@dataclass(frozen=True)
class Detection:
    query: str
    box: Box
    cosine: float


def detect(
    models: Models, picture: Image.Image, queries: dict[str, Tensor], proposals: int = 300, top_k: int | None = None
) -> list[Detection]:
    """Returns the top_k boxes (None: all) of each query, best first. queries are names
    with their embeddings [D]."""
    boxes = propose(models.detector, picture, proposals)
    if not boxes:
        return []
    regions = torch.stack([embed_box(models, picture, box) for box in boxes])  # [boxes,D]
    found = []
    for name, embedding in queries.items():
        cosines = regions @ embedding  # [boxes]
        for i in cosines.argsort(descending=True)[:top_k].tolist():
            found.append(Detection(name, boxes[i], cosines[i].item()))
    return found


@torch.inference_mode()
def propose(detector: nn.Module, picture: Image.Image, limit: int) -> list[Box]:
    """Returns the detector's best proposals, at most limit, in pixels of the picture,
    best first."""
    pixels = to_tensor(picture).to(place(detector))
    resized, _ = detector.transform([pixels])
    boxes, _ = detector.rpn(resized, detector.backbone(resized.tensors))
    return resize_boxes(boxes[0], resized.image_sizes[0], pixels.shape[1:])[:limit].tolist()


@torch.inference_mode()
def embed_box(models: Models, picture: Image.Image, box: Box) -> Tensor:
    """Returns the unit embedding [D] of the part of the picture in a box."""
    crop = models.preprocess(picture.crop(rectangle(box, *picture.size)))
    return models.clip.encode_image(crop[None].to(place(models.clip)), normalize=True)[0]


def place(module: nn.Module) -> torch.device:
    """Returns the device of a network."""
    return next(module.parameters()).device


def rectangle(box: Box, width: int, height: int) -> tuple[int, int, int, int]:
    """Returns a box rounded outward to whole pixels and clipped to its picture, at least
    one pixel wide and high."""
    left, top = min(max(math.floor(box[0]), 0), width - 1), min(max(math.floor(box[1]), 0), height - 1)
    right, bottom = max(min(math.ceil(box[2]), width), left + 1), max(min(math.ceil(box[3]), height), top + 1)
    return left, top, right, bottom


@torch.inference_mode()
def embed_query(clip: nn.Module, phrasings: list[str]) -> Tensor:
    """Returns the mean of the phrasings' unit embeddings, scaled to unit length [D]."""
    each = [clip.encode_text(open_clip.tokenize([text]).to(place(clip)), normalize=True)[0] for text in phrasings]
    return normalize(torch.stack(each).mean(0), dim=0)


def phrasings(query: str, templates: list[str]) -> tuple[str, list[str]]:
    """Returns a query's name and phrasings. A query is NAME, which is filled into each
    template, or NAME=PHRASE|PHRASE."""
    name, described, phrases = query.partition("=")
    return name, phrases.split("|") if described else [template.replace("{}", name) for template in templates]


def load(detector: str, checkpoint: Path | None, clip: str, pretrained: str) -> Models:
    """Returns models by their names, with published weights, which torchvision and
    open_clip download, or with the weights in files. The activation is that of
    open_clip's tag: by the name alone it builds OpenAI's weights with another, and only
    warns."""
    if checkpoint is None:
        network = getattr(detection, detector)(weights="DEFAULT").eval()
    else:
        sys.path.insert(0, str(stages.ROOT / "torchscript"))
        import detectors

        network, _ = detectors.from_file(detector, checkpoint, "unknown", "a local file")
    quick = open_clip.pretrained.get_pretrained_cfg(clip, pretrained).get("quick_gelu", False)
    model, _, preprocess = open_clip.create_model_and_transforms(clip, pretrained=pretrained, force_quick_gelu=quick)
    return Models(network, model.eval(), preprocess)


def read(path: Path) -> Image.Image:
    """Returns a picture, upright."""
    return ImageOps.exif_transpose(Image.open(path)).convert("RGB")


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-q", "--query", action="append", required=True, help="NAME or NAME=PHRASE|PHRASE")
    parser.add_argument("--detector", default="fasterrcnn_resnet50_fpn", help="torchvision's name (%(default)s)")
    parser.add_argument(
        "--detector-checkpoint", type=Path, metavar="FILE", help="its weights, instead of the published ones"
    )
    parser.add_argument("--clip", default="ViT-B-32", help="open_clip's name (%(default)s)")
    parser.add_argument("--pretrained", default="openai", help="open_clip's tag, or a checkpoint file (%(default)s)")
    parser.add_argument("--proposals", type=int, default=300, help="candidate boxes of a picture (%(default)s)")
    parser.add_argument("--top-k", type=int, help="boxes of each query; all if not given")
    parser.add_argument("pictures", type=Path, nargs="+")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        stages.build(Path(folder))
        templates = stages.templates(Path(folder))
    models = load(chosen.detector, chosen.detector_checkpoint, chosen.clip, chosen.pretrained)
    described = dict(phrasings(query, templates) for query in chosen.query)
    queries = {name: embed_query(models.clip, texts) for name, texts in described.items()}
    for path in chosen.pictures:
        found = detect(models, read(path), queries, chosen.proposals, chosen.top_k)
        print(json.dumps({"image": str(path), "detections": [vars(one) for one in found]}))


if __name__ == "__main__":
    main(sys.argv[1:])
