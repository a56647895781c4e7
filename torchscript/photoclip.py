"""One CLIP for photos and drawings: two halves side by side, and a gate that tells what a
crop is of.

Crops [N,3,S,S] -> [sqrt(g) photo half | sqrt(1-g) drawing half] with g in [0,1]; tokens
-> [a photo half | b drawing half]. The photo half of a crop is what the classes that it
may be of mean, weighted by how likely each is (ConSE, Norouzi et al. 2013), with a
direction of its own for persons and one for nothing in particular. The classes are
ImageNet's, and COCO's categories for what those lack.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

import archive
import checkpoint
import clip
import smallclip
import ssdlite
import stored
import trunk
from fold import fold_norms

SIZE = 161  # all lengths up to stride 16 are odd, so every convolution pads evenly
FEATURES = 1280
CLASSES = 1000
MEANING = 384
WIDTH = MEANING + 2
GATED = 128  # channels of what the gate sees
PHOTO_SCALE, DRAWING_SCALE = 10.0, 27.7  # of the halves alone; best of 10, 20, 40 by AP50
PERSON_SHARE = 0.7  # length of a sure person's direction, where a sure thing's is 1
# Crops that the photo tower takes at once on a CPU, and that clipdet gives the image tower at once: a picture's 72 fill
# three blocks. With 8 of 16 a photo took 1.07 times as long, and a drawing, of whose crops few in a block are looked at
# twice, 1.3 times.
TOGETHER, BLOCK = 6, 24
SHARPNESS = 0.55  # of what a crop may be of; below 1 a crop between classes, or a person and a thing, means both more
MARGIN = 0.3  # below this the gate is sure of a drawing, above one minus this of a photo


class PhotoTower(nn.Module):
    """Normalised crops [N,3,S,S] to what they mean [N,386], unit."""

    person_share: Final[float]
    sharpness: Final[float]
    small: Final[int]
    scale: Final[float]
    shift: Final[float]

    def __init__(self) -> None:
        super().__init__()
        self.person_share, self.sharpness, self.small = PERSON_SHARE, SHARPNESS, ssdlite.CROP
        self.scale, self.shift = 2 * trunk.STD[0], 2 * trunk.MEAN[0] - 1  # from the trunk's range to -1..1
        self.trunk = trunk.Trunk(even=False)
        self.head = nn.Conv2d(trunk.Trunk.WIDTHS[2], FEATURES, 1)
        self.classes = nn.Conv2d(FEATURES, CLASSES, 1)
        self.categories = ssdlite.Categories()
        known = len(ssdlite.NAMES)
        self.further = nn.Conv2d(FEATURES + known, 2, 1)  # person, nothing; of evidence
        self.meanings = nn.Conv2d(CLASSES + known - 1, MEANING, 1, bias=False)

    def features(self, crops: Tensor) -> Tensor:
        """ImageNet's features [N,1280,1,1]."""
        return functional.relu6(self.head(self.trunk(crops)["32"])).mean((2, 3), keepdim=True)

    def named(self, crops: Tensor) -> Tensor:
        """Logits of COCO's categories [N,80,1,1], a person's first."""
        less = functional.interpolate(crops, size=[self.small, self.small], mode="bilinear", antialias=True)
        return self.categories(less * self.scale + self.shift)[:, :, None, None]

    def things(self, found: Tensor, named: Tensor) -> Tensor:
        """Logits [N,1079,1,1] of ImageNet's classes and of COCO's categories but persons, of what features and named
        say."""
        return torch.cat([self.classes(found), named[:, 1:]], 1)

    def evidence(self, found: Tensor, named: Tensor) -> Tensor:
        """What tells persons and nothing [N,1360,1,1]."""
        return torch.cat([found.sqrt(), named], 1)

    def forward(self, crops: Tensor) -> Tensor:
        return self.meant(self.features(crops), self.named(crops))

    def meant(self, found: Tensor, named: Tensor) -> Tensor:
        """What crops mean [N,386], unit, of which features and named say this."""
        known = self.things(found, named)
        further = self.further(self.evidence(found, named))[:, :, 0, 0]
        kinds = torch.cat([known[:, :, 0, 0].logsumexp(1, keepdim=True), further], 1)
        share = (self.sharpness * kinds).softmax(1)
        thing = functional.normalize(self.meanings((self.sharpness * known).softmax(1))[:, :, 0, 0], dim=1)
        person, nothing = share[:, 1:2], share[:, 2:]
        return functional.normalize(torch.cat([(1 - person) * thing, self.person_share * person, nothing], 1), dim=1)


class ImageTower(nn.Module):
    """Crops [N,3,S,S], normalised as the trunk takes them, to both halves [N,386+D],
    unit.

    The gate looks twice. The drawing tower's first layers see every crop, at 64 pixels, and
    leave out what is surely drawn. On a CPU the photo tower, which costs several times as
    much as the drawing tower, sees the others alone: first ImageNet's features, which
    decide.
    """

    small: Final[int]
    margin: Final[float]
    width: Final[int]
    drawn_width: Final[int]
    together: Final[int]

    def __init__(self, photo: PhotoTower, drawing: smallclip.ImageTower, small: int = 64) -> None:
        super().__init__()
        self.photo, self.small, self.margin, self.width, self.together = photo, small, MARGIN, WIDTH, TOGETHER
        layers = list(drawing.layers)
        self.first, self.second, self.rest = (nn.Sequential(*part) for part in (layers[:6], layers[6:8], layers[8:]))
        self.project = drawing.project
        self.drawn_width = drawing.project.out_features
        self.glance = nn.Linear(3 * GATED, 1)  # above 0 a crop may be of a photo
        self.gate = nn.Linear(FEATURES, 1)  # of the features' square roots; the logit that it is
        mean, std = torch.tensor(trunk.MEAN), torch.tensor(trunk.STD)
        of_mean, of_std = torch.tensor(smallclip.MEAN), torch.tensor(smallclip.STD)
        self.register_buffer("scale", (std / of_std)[:, None, None])
        self.register_buffer("shift", ((mean - of_mean) / of_std)[:, None, None])

    def drawn(self, crops: Tensor) -> Tensor:
        """Crops as the drawing tower takes them."""
        less = functional.interpolate(crops, size=[self.small, self.small], mode="bilinear", antialias=True)
        return less * self.scale + self.shift

    def begin(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """The drawing tower's maps of crops before its rest [N,64,16,16], and what the glance
        reads of these and of earlier ones [N,384]."""
        first = self.first(self.drawn(crops))
        second = self.second(first)
        both = torch.cat([first, second], 1)
        mean = both.mean((2, 3))
        return second, torch.cat([mean, both.amax((2, 3)), (both - mean[:, :, None, None]).abs().mean((2, 3))], 1)

    def drawing(self, x: Tensor) -> Tensor:
        """The drawing half [N,D] of the maps of begin."""
        x = self.rest(x)
        return functional.normalize(self.project(torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1)), dim=1)

    def share(self, found: Tensor) -> Tensor:
        """How much crops of such features are of photos [N,1]."""
        sure = torch.sigmoid(self.gate(found.sqrt()[:, :, 0, 0]))
        return ((sure - self.margin) / (1 - 2 * self.margin)).clamp(0, 1)

    def forward(self, crops: Tensor) -> Tensor:
        x, seen = self.begin(crops)
        maybe = self.glance(seen) > 0
        if crops.is_cuda:  # where choosing would be a wait for the device, and all cost little
            found = self.photo.features(crops)
            photo, gate = self.photo.meant(found, self.photo.named(crops)), self.share(found) * maybe
            return torch.cat([gate.sqrt() * photo, (1 - gate).sqrt() * self.drawing(x)], 1)
        photo = torch.zeros([crops.shape[0], self.width], device=crops.device)
        gate = torch.zeros([crops.shape[0], 1], device=crops.device)
        rows = torch.nonzero(maybe[:, 0])[:, 0]
        for start in range(0, rows.shape[0], self.together):
            part = rows[start : start + self.together]
            # Always as many, so that a crop's embedding is the same to the bit among any others.
            some = crops[torch.cat([part, part[:1].expand(self.together - part.shape[0])])]
            found = self.photo.features(some)
            share = self.share(found)
            if bool((share > 0).any()):
                halves = self.photo.meant(found, self.photo.named(some))
                photo = photo.index_copy(0, part, halves[: part.shape[0]])
                gate = gate.index_copy(0, part, share[: part.shape[0]])
        drawing = torch.zeros([crops.shape[0], self.drawn_width], device=crops.device)
        if bool((gate < 1).any()):
            drawing = self.drawing(x)
        return torch.cat([gate.sqrt() * photo, (1 - gate).sqrt() * drawing], 1)


class TextTower(nn.Module):
    """Tokens int64 [N,T] to both halves [N,386+D], unit. photo_share is a, the length of
    the photo half."""

    photo_share: Final[float]

    def __init__(self, photo: smallclip.TextTower, drawing: smallclip.TextTower, photo_share: float) -> None:
        super().__init__()
        self.photo, self.drawing, self.photo_share = photo, drawing, photo_share

    def forward(self, tokens: Tensor) -> Tensor:
        photo = functional.normalize(self.photo(tokens), dim=1) * self.photo_share
        drawing = functional.normalize(self.drawing(tokens), dim=1) * (1 - self.photo_share**2) ** 0.5
        return torch.cat([photo, drawing], 1)


@dataclass(frozen=True)
class Scales:
    """Factors of cosines in a softmax over names, of each half alone."""

    photo: float
    drawing: float

    @property
    def both(self) -> float:
        """The model's logit scale."""
        return (self.photo**2 + self.drawing**2) ** 0.5

    @property
    def photo_share(self) -> float:
        """The length of a text's photo half."""
        return self.photo / self.both


def drawings(path: Path) -> smallclip.SmallCLIP:
    """Returns the CLIP of drawings of a checkpoint of train_clip.py, its norms folded."""
    with checkpoint.of("clip", path):
        model, _ = smallclip.load(path)
    fold_norms(model.image, torch.zeros(1, 3, model.config.size, model.config.size))
    return model


def photo_tower(path: Path) -> PhotoTower:
    """Returns the photo tower of a checkpoint of train_photos.py."""
    tower = PhotoTower()
    with checkpoint.of("photos", path):
        tower.load_state_dict(checkpoint.load(path)["state"])
    return tower


def load(drawing: Path, photos: Path, gate: Path, words: Path, scales: Scales) -> tuple[ImageTower, TextTower]:
    """Returns both towers, in evaluation mode, from the checkpoints of train_photos.py,
    train_gate.py and train_words.py, and from drawings."""
    model = drawings(drawing)
    image = ImageTower(photo_tower(photos), model.image)
    with checkpoint.of("gate", gate):
        learned = checkpoint.load(gate)
        image.glance.load_state_dict(learned["glance"])
        image.gate.load_state_dict(learned["gate"])
    with checkpoint.of("words", words):
        saved = checkpoint.load(words)
        tower = smallclip.TextTower(smallclip.Config(**saved["config"]))
        tower.load_state_dict(saved["state"])
    return image.eval(), TextTower(tower, model.text, scales.photo_share).eval()


def export(out: Path, image: ImageTower, text: TextTower, scales: Scales) -> list[Path]:
    """Writes both towers into out and returns their paths. The weights of the photo tower
    and of texts are stored in 8 bits, and the others in half precision."""
    on = "EfficientNet-Lite0 with ImageNet weights and SSDLite's MobileNetV2 with weights of COCO"
    weights = archive.trained(nn.ModuleList([image, text]), on)
    image.to(memory_format=torch.channels_last)  # before, since the stored weights keep the layout they have
    stored.shrink(image.photo, eight=True)
    stored.shrink(image)
    stored.shrink(text, eight=True)
    mean, std = list(trunk.MEAN), list(trunk.STD)
    pair = clip.Pair(image, text, "clipdet-small-clip", SIZE, mean, std, scales.both, "squash", TOGETHER, BLOCK)
    return clip.export(out, pair, weights)
