"""Crops of pictograms as a detector would cut them, made a batch at a time in torch.

A crop is background, neighbours, a pictogram turned a little, seen through a proposal box that fits more or less
(IoU >= 0.6), cut as CLIP does (shortest side, centre), squashed or with context, then made worse: fewer pixels,
noise, JPEG. Some crops show background only, a part of a pictogram, or several at once.

Drawings are varied, so that shapes are learned and not the hands that drew them: mirrored, bent a little, in other
colours, shaded, with outlines.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

import scenes
from pictograms import LINES, Concept, Pictograms

_ANGLES = 144  # directions in which a pictogram's extent is known: every 2.5 degrees
_FINE = 80  # crops are drawn at this size and shrunk, against aliasing
_SHEET = 96


@dataclass(frozen=True)
class Crops:
    """uint8 [N,3,size,size] and the class of each: a concept, or one past them for empty, part, group."""

    pixels: Tensor
    classes: Tensor


@dataclass(frozen=True)
class _Sprites:
    """Pictograms [N] as they are drawn: which, turned by how many steps, mirrored or not, whether of lines alone."""

    sheet: Tensor
    turn: Tensor
    mirrored: Tensor
    line: Tensor


class CropMaker:
    """Draws crops. The pictograms and backgrounds are prepared once; after that every batch depends on its seed."""

    def __init__(self, pictures: Pictograms, size: int = 64, backgrounds: int = 1200, seed: int = 0) -> None:
        self.size = size
        self.concepts = len(pictures.concepts)
        styles = list(pictures.images)
        # How often a concept is drawn in each style [concepts,styles]; lines alone say less than a picture.
        often = [pictures.drawn[s] * (0.5 if s in LINES else 1.0) for s in styles]
        self._often = torch.from_numpy(np.stack(often, 1)).float()
        self._drawn = torch.tensor(pictures.shown)
        self._line = torch.tensor([s in LINES for s in styles])
        self._mirrors = torch.tensor([_mirrors(c) for c in pictures.concepts])
        self._sheets = torch.cat([_sheet(np.asarray(pictures.images[s])) for s in styles])
        self._extents = _extents(self._sheets)
        self._backgrounds = _background_bank(backgrounds, seed)

    def batch(self, seed: tuple[int, ...], classes: Tensor, size: int = 0) -> Crops:
        """One crop for each class, of another size if given; in pieces small enough for memory to be used again."""
        pieces = [self._batch((*seed, k), piece, size or self.size) for k, piece in enumerate(classes.split(64))]
        return Crops(torch.cat(pieces), classes)

    def _batch(self, seed: tuple[int, ...], classes: Tensor, size: int) -> Tensor:
        n = len(classes)
        mixed = np.random.SeedSequence(seed).generate_state(1, np.uint64)[0]
        draw = torch.Generator().manual_seed(int(mixed >> np.uint64(1)))
        rng = np.random.default_rng(seed)

        def uniform(low: float, high: float, *shape: int) -> Tensor:
            return torch.rand(shape or (n,), generator=draw) * (high - low) + low

        kind = (classes - self.concepts + 1).clamp(min=0)  # 0 concept, 1 empty, 2 part, 3 group
        concept = torch.where(kind == 0, classes, self._any(n, draw))
        main = self._sprites(concept, draw)
        box = self._box(main)
        view = self._view(self._proposal(box, kind, uniform), uniform)

        canvas = self._behind(draw, n)
        for _ in range(2):
            other = self._sprites(self._any(n, draw), draw)
            scale = torch.exp(uniform(math.log(0.25), math.log(1.5)))
            at = self._beside(box, self._box(other) * scale[:, None], uniform)
            shown = (uniform(0, 1) < 0.35) | (kind == 3)
            canvas = self._paint(canvas, other, scale * shown, at, view, draw)
        canvas = self._paint(canvas, main, (kind != 1).float(), torch.zeros(n, 2), view, draw)
        return self._worse(canvas, size, draw, rng)

    def _any(self, n: int, draw: torch.Generator) -> Tensor:
        """Concepts [N] of those that a style draws."""
        return self._drawn[torch.randint(len(self._drawn), (n,), generator=draw)]

    def _sprites(self, concept: Tensor, draw: torch.Generator) -> _Sprites:
        n = len(concept)
        style = torch.multinomial(self._often[concept], 1, generator=draw)[:, 0]
        return _Sprites(
            concept + self.concepts * style,
            torch.randint(-9, 10, (n,), generator=draw),
            (torch.rand(n, generator=draw) < 0.3) & self._mirrors[concept],
            self._line[style],
        )

    def _box(self, sprites: _Sprites) -> Tensor:
        """The tight box [N,4] of each, in units of half its drawing's side."""
        extents = self._extents[sprites.sheet]

        def reach(direction: int) -> Tensor:
            towards = direction - sprites.turn
            towards = torch.where(sprites.mirrored, _ANGLES // 2 - towards, towards)
            return extents.gather(1, (towards % _ANGLES)[:, None])[:, 0]

        quarter = _ANGLES // 4
        return torch.stack([-reach(2 * quarter), -reach(3 * quarter), reach(0), reach(quarter)], 1)

    def _proposal(self, box: Tensor, kind: Tensor, uniform) -> Tensor:
        n = len(box)
        w, h = box[:, 2] - box[:, 0], box[:, 3] - box[:, 1]
        side = torch.stack([w, h, w, h], 1)
        best = box.clone()
        found = torch.zeros(n, dtype=torch.bool)
        for spread in (0.14, 0.1, 0.06):
            moved = box + side * torch.stack([uniform(-1, 1) for _ in range(4)], 1) * spread
            fits = (_iou(moved, box) >= 0.6) & ~found
            best[fits] = moved[fits]
            found |= fits
        # Part: a window inside, 0.3 to 0.65 of the sides, so of an IoU below 0.43. Group: two to three times the sides.
        share = torch.stack([uniform(0.3, 0.65), uniform(0.3, 0.65)], 1)
        corner = torch.stack([uniform(0, 1), uniform(0, 1)], 1) * (1 - share)
        low = box[:, :2] + corner * side[:, :2]
        part = torch.cat([low, low + share * side[:, :2]], 1)
        grown = torch.stack([uniform(1.9, 3), uniform(1.9, 3)], 1)
        low = box[:, :2] - uniform(0.15, 0.85, n, 2) * (grown - 1) * side[:, :2]
        group = torch.cat([low, low + grown * side[:, :2]], 1)
        best = torch.where((kind == 2)[:, None], part, best)
        return torch.where((kind == 3)[:, None], group, best)

    def _view(self, box: Tensor, uniform) -> Tensor:
        """Centre and half sides [N,4] of what a crop shows of a proposal."""
        centre, half = (box[:, :2] + box[:, 2:]) / 2, (box[:, 2:] - box[:, :2]).clamp(min=1e-2) / 2
        mode = uniform(0, 1)[:, None]
        square = torch.where(mode < 0.5, half.amin(1, keepdim=True), half.amax(1, keepdim=True)).expand(-1, 2)
        half = torch.where((mode >= 0.5) & (mode < 0.75), half, square)
        context = torch.where(uniform(0, 1) < 0.7, torch.ones(len(box)), uniform(1, 1.25))
        return torch.cat([centre, half * context[:, None]], 1)

    def _beside(self, box: Tensor, other: Tensor, uniform) -> Tensor:
        """A place where the other's box touches the first one's from one side."""
        other_half, other_centre = (other[:, 2:] - other[:, :2]) / 2, (other[:, 2:] + other[:, :2]) / 2
        half, centre = (box[:, 2:] - box[:, :2]) / 2, (box[:, 2:] + box[:, :2]) / 2
        reach = half + other_half
        side = uniform(0, 4).long()
        along = uniform(-1, 1) * 1.1
        gap = uniform(0.85, 1.3)
        sign = torch.where(side % 2 == 0, 1.0, -1.0)
        x = torch.where(side < 2, sign * gap, along) * reach[:, 0]
        y = torch.where(side < 2, along, sign * gap) * reach[:, 1]
        return centre + torch.stack([x, y], 1) - other_centre

    def _paint(
        self, canvas: Tensor, sprites: _Sprites, scale: Tensor, at: Tensor, view: Tensor, draw: torch.Generator
    ) -> Tensor:
        """Draws pictograms [N] over the canvas [N,3,F,F]; those of scale 0 are left out."""
        rows = torch.nonzero(scale > 0)[:, 0]
        if not len(rows):
            return canvas
        n = len(rows)
        angle = sprites.turn[rows] * (2 * math.pi / _ANGLES)
        cos, sin = torch.cos(angle) / scale[rows], torch.sin(angle) / scale[rows]
        cx, cy = (view[rows, :2] - at[rows]).unbind(1)
        hw, hh = view[rows, 2:].unbind(1)
        side = torch.where(sprites.mirrored[rows], -1.0, 1.0)
        # Canvas to drawing: scene = centre + uv * half, then the inverse turn, then the mirror.
        theta = torch.stack(
            [side * cos * hw, side * sin * hh, side * (cos * cx + sin * cy), -sin * hw, cos * hh, -sin * cx + cos * cy],
            1,
        ).view(-1, 2, 3)
        grid = functional.affine_grid(theta, [n, 4, _FINE, _FINE], align_corners=False)
        bent = torch.randn(n, 2, 4, 4, generator=draw) * 0.04 * torch.rand(n, 1, 1, 1, generator=draw)
        grid = grid + functional.interpolate(bent, size=(_FINE, _FINE), mode="bilinear").permute(0, 2, 3, 1)
        layer = functional.grid_sample(self._sheets[sprites.sheet[rows]].float() / 255, grid, align_corners=False)
        layer = _restyled(layer, sprites.line[rows], draw)
        canvas[rows] = canvas[rows] * (1 - layer[:, 3:]) + layer[:, :3]
        return canvas

    def _behind(self, draw: torch.Generator, n: int) -> Tensor:
        bank = self._backgrounds
        which = torch.randint(len(bank), (n,), generator=draw).tolist()
        room = bank.shape[-1] - _FINE + 1
        corners = torch.randint(room, (n, 2), generator=draw).tolist()
        cut = [bank[k, :, y : y + _FINE, x : x + _FINE] for k, (y, x) in zip(which, corners, strict=True)]
        canvas = torch.stack(cut).float() / 255
        return (canvas * (1 + 0.15 * torch.randn(n, 3, 1, 1, generator=draw))).clamp(0, 1)

    def _worse(self, canvas: Tensor, size: int, draw: torch.Generator, rng: np.random.Generator) -> Tensor:
        """Shrinks to the few pixels that small objects have, adds grain and JPEG, and brings all to one size."""
        out = torch.empty(len(canvas), 3, size, size, dtype=torch.uint8)
        groups = torch.randperm(len(canvas), generator=draw).chunk(4)
        for rows in groups:
            side = int(np.exp(rng.uniform(np.log(20), np.log(_FINE))))
            small = functional.interpolate(canvas[rows], size=(side, side), mode="bilinear", antialias=True)
            sigma = torch.rand(len(rows), 1, 1, 1, generator=draw).pow(2) * 0.05
            small = small + sigma * torch.randn(small.shape, generator=draw)
            small = small.mul(255).round().clamp(0, 255).to(torch.uint8)
            for i in np.nonzero(rng.random(len(rows)) < 0.3)[0]:
                small[i] = _jpeg(small[i], int(rng.integers(40, 95)))
            large = functional.interpolate(
                small.float(), size=(size, size), mode="bicubic", antialias=True, align_corners=False
            )
            out[rows] = large.round().clamp(0, 255).to(torch.uint8)
        return out


def _mirrors(concept: Concept) -> bool:
    """Whether a concept is the same when mirrored: things are; arrows, letters, clocks and moons are not."""
    sided = ("o’clock", "thirty", "moon", "facing", "left", "right")
    return concept.group in scenes.THINGS and not any(word in concept.label for word in sided)


def _restyled(layer: Tensor, line: Tensor, draw: torch.Generator) -> Tensor:
    """Premultiplied drawings [N,4,F,F] recoloured, some shaded or outlined; those of lines alone in any colour."""
    n = len(layer)

    def chance(p: float) -> Tensor:
        return (torch.rand(n, 1, 1, 1, generator=draw) < p).float()

    def normal(*shape: int) -> Tensor:
        return torch.randn(n, *shape, generator=draw)

    alpha = layer[:, 3:]
    colour = _recoloured(layer[:, :3], 0.3 * normal() * chance(0.4).view(n), (1 + 0.35 * normal()).clamp(0, 2))
    grey = chance(0.12)
    colour = colour * (1 - grey) + colour.mean(1, keepdim=True) * grey
    shade = functional.interpolate(0.25 * normal(1, 3, 3) * chance(0.3), size=layer.shape[2:], mode="bilinear")
    colour = colour * (1 + 0.15 * normal(3, 1, 1)) * (1 + shade) + 0.08 * normal(1, 1, 1) * alpha
    any_colour = torch.rand(n, 3, 1, 1, generator=draw)
    colour = torch.where(line[:, None, None, None], any_colour * alpha, colour)
    colour = torch.minimum(colour.clamp(min=0), alpha)

    outlined = torch.nonzero(chance(0.3).view(n))[:, 0]
    if len(outlined):
        part = layer[outlined]
        spread = _most_around(part) + _most_around(-part)
        mark = (spread.amax(1, keepdim=True) > 0.3).float()
        thick = torch.rand(len(outlined), 1, 1, 1, generator=draw) < 0.5
        mark = torch.where(thick, _most_around(mark), mark)
        mark = functional.avg_pool2d(mark, 3, 1, 1, count_include_pad=False)
        ink = 0.3 * torch.rand(len(outlined), 3, 1, 1, generator=draw)
        colour[outlined] = colour[outlined] * (1 - mark) + ink * mark
        alpha = alpha.clone()
        alpha[outlined] = torch.maximum(alpha[outlined], mark)
    return torch.cat([colour, alpha], 1)


def _most_around(x: Tensor) -> Tensor:
    """max_pool2d(x, 3, 1, 1), ten times as fast on a CPU."""
    for axis in (2, 3):
        n = x.shape[axis]
        padded = torch.cat([x.narrow(axis, 0, 1), x, x.narrow(axis, n - 1, 1)], axis)
        x = torch.maximum(torch.maximum(padded.narrow(axis, 0, n), x), padded.narrow(axis, 2, n))
    return x


def _recoloured(colour: Tensor, hue: Tensor, saturation: Tensor) -> Tensor:
    """Colours [N,3,...] turned by hue [N] (radians) about the grey axis and scaled in saturation [N] away from it."""
    # Rodrigues' formula for the axis (1,1,1)/sqrt(3).
    grey = torch.full((3, 3), 1 / 3)
    cross = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
    cos, sin = torch.cos(hue)[:, None, None], torch.sin(hue)[:, None, None]
    turn = cos * (torch.eye(3) - grey) + sin * cross
    matrix = saturation[:, None, None] * turn + grey
    return torch.einsum("nij,njhw->nihw", matrix, colour)


def _sheet(drawings: np.ndarray) -> Tensor:
    """Straight-alpha drawings [C,S,S,4] as premultiplied uint8 [C,4,96,96]."""
    parts = []
    for chunk in np.array_split(drawings, 16):
        pixels = torch.from_numpy(chunk.copy()).permute(0, 3, 1, 2).float()
        pixels[:, :3] *= pixels[:, 3:] / 255
        small = functional.interpolate(pixels, size=(_SHEET, _SHEET), mode="bilinear", antialias=True)
        parts.append(small.round().clamp(0, 255).to(torch.uint8))
    return torch.cat(parts)


def _extents(sheets: Tensor) -> Tensor:
    """How far each drawing [N,4,S,S] reaches from its centre in each of the directions [N,directions]."""
    side = 48
    mask = torch.cat([functional.adaptive_max_pool2d(c[:, 3].float(), side) > 32 for c in sheets.split(512)]).flatten(1)
    axis = (torch.arange(side) + 0.5) * 2 / side - 1
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    out = torch.empty(len(sheets), _ANGLES)
    for k in range(_ANGLES):
        angle = 2 * math.pi * k / _ANGLES
        along = (math.cos(angle) * x + math.sin(angle) * y).flatten()
        out[:, k] = torch.where(mask, along, torch.tensor(-2.0)).amax(1)
    return out


def _background_bank(count: int, seed: int) -> Tensor:
    """Backgrounds uint8 [count,3,192,192] at many degrees of zoom."""
    out = torch.empty(count, 3, 192, 192, dtype=torch.uint8)
    for i in range(count):
        rng = np.random.default_rng([seed, i])
        side = int(np.exp(rng.uniform(np.log(64), np.log(400))))
        kind = str(rng.choice(scenes.BACKGROUNDS, p=[0.15, 0.2, 0.3, 0.35]))
        picture = scenes.background(rng, (side, side), kind).resize((192, 192), Image.Resampling.BILINEAR)
        out[i] = torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1)
    return out


def _iou(a: Tensor, b: Tensor) -> Tensor:
    low, high = torch.maximum(a[:, :2], b[:, :2]), torch.minimum(a[:, 2:], b[:, 2:])
    shared = (high - low).clamp(min=0).prod(1)
    return shared / ((a[:, 2:] - a[:, :2]).prod(1) + (b[:, 2:] - b[:, :2]).prod(1) - shared)


def _jpeg(pixels: Tensor, quality: int) -> Tensor:
    file = io.BytesIO()
    Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(file, "JPEG", quality=quality)
    return torch.from_numpy(np.asarray(Image.open(file)).copy()).permute(2, 0, 1)
