"""Makes the built-in models again, from pictograms and photos to the model card.
Interrupted, the same command continues.

./setup-libtorch.sh python torchscript/training/train.py --out pkg/model/builtin \\
    --photos-train DIR [--photos DIR] [--work DIR] [--leave-out fxemoji]

A folder of photos has images/ and instances.json in COCO's form. Those to learn from have
polygons, and LICENCES.tsv, which goes into the card. Each part of the training writes a
checkpoint into --work and is left out if that is there: remove it to train the part
again.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import card
import checkpoint
import export
import judge
import packages
import phrases
import pictograms
import scenes
import train_clip
import train_gate
import train_look
import train_photos
import train_rpn
import train_words

JUDGED = 80  # concepts that the judged scenes are made of, all asked for in every scene


@dataclass(frozen=True)
class Part:
    """A part of the training: its checkpoint, what writes that, and the arguments after
    the path."""

    path: Path
    train: Callable[..., object]
    arguments: tuple


def parts(chosen: argparse.Namespace) -> dict[str, Part]:
    """Returns the parts of the training, by the names of their checkpoints, each after
    those that it needs."""
    seed, left, photos = chosen.seed, chosen.leave_out, chosen.photos_train
    clip, rpn, towers = (chosen.work / f"{name}.ckpt" for name in ("clip", "rpn", "photos"))
    ways: dict[str, tuple[Callable[..., object], tuple]] = {
        "clip": (train_clip.train, (chosen.clip_steps, chosen.text_steps, 256, seed, left)),
        "rpn": (train_rpn.train, (chosen.rpn_steps, 12, seed, left, photos)),
        "look": (train_look.train, (photos, rpn, seed, left, chosen.photos)),
        "words": (train_words.train, (photos, chosen.word_steps, seed)),
        "photos": (train_photos.train, (photos, rpn)),
        "gate": (train_gate.train, (photos, rpn, clip, towers, seed, left, chosen.photos)),
    }
    return {name: Part(chosen.work / f"{name}.ckpt", *way) for name, way in ways.items()}


def new_scenes(folder: Path, styles: tuple[str, ...], concepts: list[int], count: int) -> Path:
    """Makes scenes that no training has seen, in the folder, with ground truth."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = pictograms.load(styles)
    made = []
    for i in range(count):
        picture, instances = scenes.scene(2 * 10**6, i, pictures, scenes.Layout(), concepts)
        name = f"scene-{i + 1:03d}.jpg"
        picture.save(folder / name, quality=85)
        made.append((name, picture.size, instances))
    (folder / "instances.json").write_text(json.dumps(scenes.coco(made, pictures, concepts)))
    return folder


def measure_drawings(models: Path, work: Path, leave_out: str, count: int) -> card.Figures:
    """Returns the model card's figures of drawings, on count new scenes of each kind."""
    background = [line for lines in phrases.background().values() for line in lines]
    sets = {f"in the styles {', '.join(pictograms.STYLES)}": pictograms.STYLES}
    if leave_out:
        sets[f"in the style {leave_out}, left out"] = pictograms.FAMILIES[leave_out]
    # The same concepts in each set: those that the style which draws fewest draws.
    fewest = pictograms.load(pictograms.FAMILIES.get(leave_out, pictograms.STYLES))
    figures = {}
    for kind, groups in (("things", scenes.THINGS), ("concepts of any kind", None)):
        concepts = scenes.choose(fewest, JUDGED, groups)
        for title, styles in sets.items():
            folder = work / "-".join(["scenes", kind.split()[0], *styles])
            new_scenes(folder, styles, concepts, count)
            figures[f"{JUDGED} {kind} {title}"] = judge.judge(models, folder, background)
    style = pictograms.STYLES[0]
    figures[f"keywords, drawings in the style {style}"] = judge.synonyms(models, pictograms.load((style,)), style)
    testdata = Path(__file__).parents[2] / "testdata"
    figures["sample scenes (testdata/images)"] = judge.judge(models, testdata / "images", background)
    return figures


def measure_photos(models: Path, photos: Path) -> card.Figures:
    """Returns the model card's figures of photos."""
    background = [line for lines in phrases.background().values() for line in lines]
    return {
        f"names of annotated boxes of {judge.LEAST} pixels or more": judge.named(models, photos),
        "every name asked, without a threshold": judge.judge(models, photos, background),
        "some names asked, with the command's threshold": judge.asked(models, photos, background),
        "proposals": judge.recall(models, photos),
    }


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="make the built-in models again")
    parser.add_argument("--out", type=Path, required=True, help="models directory: three .pt files and MODELCARD.md")
    parser.add_argument("--work", type=Path, help="checkpoints and scenes (default: a folder in clipdet's cache)")
    parser.add_argument("--photos-train", type=Path, required=True, help="photos to learn from, with LICENCES.tsv")
    parser.add_argument("--photos", type=Path, help="other photos, to measure on")
    parser.add_argument("--clip-steps", type=int, default=7000)
    parser.add_argument("--text-steps", type=int, default=3000)
    parser.add_argument("--rpn-steps", type=int, default=2000)
    parser.add_argument("--word-steps", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scenes", type=int, default=100, help="new scenes to judge on, in each set")
    parser.add_argument("--leave-out", default="fxemoji", choices=("", *pictograms.FAMILIES), help="not to train on")
    chosen = parser.parse_args(arguments)
    chosen.work = chosen.work or packages.cache_home() / f"trained-without-{chosen.leave_out or 'nothing'}"
    card.licences(chosen.photos_train)  # fails before hours of training and not after them
    made = parts(chosen)
    for part in made.values():
        if part.path.exists():
            print(f"{part.path} is there", file=sys.stderr)
        else:
            part.train(part.path, *part.arguments)
    options = ["builtin", "--out", str(chosen.out)]
    for name, part in made.items():
        options += [f"--{name}", str(part.path)]
    failed = export.main(options)
    if failed:
        return failed
    figures = {"drawings": measure_drawings(chosen.out, chosen.work, chosen.leave_out, chosen.scenes)}
    if chosen.photos:
        figures["photos"] = measure_photos(chosen.out, chosen.photos)
    notes = {name: checkpoint.load(part.path)["notes"] for name, part in made.items()}
    tried = card.nouns(Path(__file__).parent / "nouns.tsv", chosen.out) if chosen.photos else []
    (chosen.out / "MODELCARD.md").write_text(card.text(chosen.out, notes, figures, chosen.photos_train, tried))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
