"""The method of reference.py, plain and tuned, in PyTorch on clipdet's own archives.
compare.py measures the built-in models against it, since they exist only as
TorchScript."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2.functional import center_crop, pil_to_tensor, resize

from reference import Box, Detection, open_clip, rectangle


class Archives:
    """The three archives of a folder on a device, with the image tower in a type that the
    folder has."""

    def __init__(self, folder: Path, dtype: str = "float32", device: str = "cpu") -> None:
        self.dtype, self.device = getattr(torch, dtype), torch.device(device)
        name = "clip-image.pt" if dtype == "float32" else f"clip-image.{dtype}.pt"
        extra = {"manifest.json": ""}
        self.network = torch.jit.load(folder / "rpn.pt", device).eval()
        self.image = torch.jit.load(folder / name, device, _extra_files=extra).eval()
        self.text = torch.jit.load(folder / "clip-text.pt", device).eval()
        manifest = json.loads(extra["manifest.json"])
        self.size, self.squash = manifest["input_size"], manifest.get("resize_mode") == "squash"

    @torch.inference_mode()
    def embed_query(self, phrasings: list[str]) -> Tensor:
        """Returns the mean of the phrasings' unit embeddings, scaled to unit length
        [D]."""
        each = [self.text(open_clip.tokenize([text]).to(self.device))[0] for text in phrasings]
        return normalize(torch.stack(each).mean(0), dim=0)

    @torch.inference_mode()
    def notebook(self, picture: Image.Image, queries: dict[str, Tensor], proposals: int) -> list[Detection]:
        """Does what reference.detect does: one crop at a time, by Pillow."""
        boxes = self._propose(picture, proposals).tolist()
        return ranked(boxes, torch.stack([self._embed_box(picture, tuple(box)) for box in boxes]), queries)

    @torch.inference_mode()
    def tuned(
        self, picture: Image.Image, queries: dict[str, Tensor], proposals: int, batch: int = 64
    ) -> list[Detection]:
        """Does what tuned.Tuned.detect does: crops as tensors, encoded in batches."""
        boxes, pixels = self._propose(picture, proposals), pil_to_tensor(picture).to(self.device)
        crops = torch.stack([self._crop(pixels, tuple(box)) for box in boxes.tolist()])
        return ranked(boxes.tolist(), torch.cat([self.encode(part / 255) for part in crops.split(batch)]), queries)

    def encode(self, crops: Tensor) -> Tensor:
        """Does what tuned.Encoder.encode does."""
        return self.image(crops.to(self.device))

    def _propose(self, picture: Image.Image, limit: int) -> Tensor:
        pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].to(self.device)
        rows, counts = self.network(pixels, torch.tensor([pixels.shape[2:]], device=self.device))
        return rows[0, : int(counts[0]), :4][:limit]

    def _embed_box(self, picture: Image.Image, box: Box) -> Tensor:
        crop = picture.crop(rectangle(box, *picture.size))
        if self.squash:
            crop = crop.resize((self.size, self.size), Image.Resampling.BICUBIC)
            return self.encode(torch.from_numpy(np.array(crop)).permute(2, 0, 1)[None] / 255)[0]
        scale = self.size / min(crop.size)
        width, height = (self.size if side == min(crop.size) else int(side * scale) for side in crop.size)
        crop = crop.resize((width, height), Image.Resampling.BICUBIC)
        left, top = round((width - self.size) / 2), round((height - self.size) / 2)
        crop = crop.crop((left, top, left + self.size, top + self.size))
        return self.encode(torch.from_numpy(np.array(crop)).permute(2, 0, 1)[None] / 255)[0]

    def _crop(self, pixels: Tensor, box: Box) -> Tensor:
        left, top, right, bottom = rectangle(box, pixels.shape[2], pixels.shape[1])
        size = [self.size, self.size] if self.squash else [self.size]
        crop = resize(pixels[:, top:bottom, left:right], size, InterpolationMode.BICUBIC, antialias=True)
        return center_crop(crop, [self.size, self.size])


def ranked(boxes: list, regions: Tensor, queries: dict[str, Tensor]) -> list[Detection]:
    """Returns the boxes for each query by cosine, best first. regions are embeddings
    [boxes,D]."""
    found = []
    for name, embedding in queries.items():
        cosines = regions @ embedding
        found += [
            Detection(name, tuple(boxes[i]), cosines[i].item()) for i in cosines.argsort(descending=True).tolist()
        ]
    return found
