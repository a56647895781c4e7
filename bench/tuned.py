"""The method of reference.py as a good engineer writes it in PyTorch: the second baseline
of compare.py.

It uses inference_mode and channels_last. Crops are tensors on the device, resized from
bytes by torch's vectorised kernel and encoded in batches, in float32 or bfloat16,
whichever is faster. If 8 bits are asked for, dynamic int8 is a third. The detector's
heads are left out, and queries are embedded in a batch. On a GPU, convolutions use
cuDNN's fastest algorithm.
"""

from __future__ import annotations

import copy
import time
from typing import Protocol, TypeVar

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import normalize
from torchvision.models.detection.transform import resize_boxes
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2.functional import center_crop, pil_to_tensor, resize

import reference
from reference import Detection, Models, open_clip


class Encoder(Protocol):
    """An encoder that exists in several types."""

    size: int

    def encode(self, crops: Tensor) -> Tensor:
        """Maps crops float32 [N,3,size,size] in [0,1] to unit embeddings [N,D]."""


Way = TypeVar("Way", bound=Encoder)


@torch.inference_mode()
def fastest(ways: list[Way], batch: int = 16, rounds: int = 2) -> Way:
    """Returns the way that encodes a batch of crops in the least time, of some rounds in
    turn after one to warm up.

    The download of the result waits for the device.
    """
    crops = torch.rand(batch, 3, ways[0].size, ways[0].size)
    least = [float("inf")] * len(ways)
    for way in ways:
        way.encode(crops).cpu()
    for _ in range(rounds):
        for i, way in enumerate(ways):
            start = time.perf_counter()
            way.encode(crops).cpu()
            least[i] = min(least[i], time.perf_counter() - start)
    return ways[least.index(min(least))]


class Tuned:
    """Detects with the models of reference.py. It copies their weights in its own type
    and layout, on their device. The type torch.qint8 is float32 with torch's dynamic
    quantisation of CLIP's linear layers: int8 weights, and one scale for the activations
    of a whole batch."""

    def __init__(self, models: Models, dtype: torch.dtype, batch: int = 64) -> None:
        self.type, self.batch = dtype, batch
        self.dtype = torch.float32 if dtype == torch.qint8 else dtype
        self.detector = copy.deepcopy(models.detector).to(memory_format=torch.channels_last)
        self.clip = copy.deepcopy(models.clip)
        self.device = reference.place(models.clip)
        look = models.clip.visual.preprocess_cfg
        self.mean, self.std = (torch.tensor(look[key], device=self.device)[:, None, None] for key in ("mean", "std"))
        self.size = open_clip.model.to_2tuple(models.clip.visual.image_size)[0]
        self.resized = [self.size] * (2 if look["resize_mode"] == "squash" else 1)
        self.visual: nn.Module = self.clip.visual.to(memory_format=torch.channels_last)
        if dtype == torch.bfloat16:
            self.visual = self.visual.to(dtype)
            self.detector.backbone.to(dtype)
        elif dtype == torch.qint8:
            self.visual = torch.ao.quantization.quantize_dynamic(self.visual, {nn.Linear}, dtype)

    @torch.inference_mode()
    @torch.backends.cudnn.flags(enabled=True, benchmark=True)
    def detect(
        self, picture: Image.Image, queries: dict[str, Tensor], proposals: int = 300, top_k: int | None = None
    ) -> list[Detection]:
        """Does what reference.detect does."""
        pixels = pil_to_tensor(picture).to(self.device)
        boxes = self.propose(pixels, proposals)
        regions = torch.cat([self.embed(pixels, part) for part in boxes.split(self.batch)])  # [boxes,D]
        cosines = regions @ torch.stack(list(queries.values())).T  # [boxes,queries]
        best = cosines.topk(min(top_k or len(boxes), len(boxes)), dim=0)
        found, corners = [], boxes.tolist()
        for name, values, places in zip(queries, best.values.T.tolist(), best.indices.T.tolist(), strict=True):
            found += [Detection(name, corners[i], value) for value, i in zip(values, places, strict=True)]
        return found

    def propose(self, pixels: Tensor, limit: int) -> Tensor:
        """Returns boxes [limit,4]."""
        resized, _ = self.detector.transform([pixels / 255])
        tensors = resized.tensors.to(self.dtype, memory_format=torch.channels_last)
        features = {level: value.float() for level, value in self.detector.backbone(tensors).items()}
        boxes, _ = self.detector.rpn(resized, features)
        return resize_boxes(boxes[0], resized.image_sizes[0], pixels.shape[1:])[:limit]

    def embed(self, pixels: Tensor, boxes: Tensor) -> Tensor:
        """Returns unit embeddings [boxes,D]."""
        height, width = pixels.shape[1:]
        crops = []
        for box in boxes.tolist():
            left, top, right, bottom = reference.rectangle(box, width, height)
            crop = resize(pixels[:, top:bottom, left:right], self.resized, InterpolationMode.BICUBIC, antialias=True)
            crops.append(center_crop(crop, [self.size, self.size]))
        return self.encode(torch.stack(crops) / 255)

    def encode(self, crops: Tensor) -> Tensor:
        """Does what Encoder.encode does."""
        batch = ((crops.to(self.device) - self.mean) / self.std).to(self.dtype)
        batch = batch.contiguous(memory_format=torch.channels_last)
        return normalize(self.visual(batch).float(), dim=-1)

    @torch.inference_mode()
    def embed_query(self, phrasings: list[str]) -> Tensor:
        """Does what reference.embed_query does, in one batch."""
        return normalize(
            self.clip.encode_text(open_clip.tokenize(phrasings).to(self.device), normalize=True).mean(0), dim=0
        )
