"""The model card of the built-in models. Every figure in it comes from a measurement that
the caller made, or from the notes of the training's checkpoints."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import archive
import judge
import packages
import photoclip
import photorpn
import pictograms
import ssdlite
import wordnet

Figures = dict[str, dict[str, float]]  # by what was measured, and what came out

_CARD = """# Model card: clipdet's built-in models
A CLIP and a region proposal network for photos and drawings, small enough to be inside the program: whoever clones
clipdet sees zero-shot detection offline. Published CLIPs know far more words and see far more; `torchscript/export.py`
makes models of them.
{files}
## What they are
- CLIP to OpenAI's contract: byte-pair tokens of a vocabulary of 49,408, context 77, logit scale {scale:.1f}. Crops are
  squashed to {size}x{size} pixels. An embedding has {width} numbers, two halves side by side: {photo_width} for photos
  and {drawing_width} for drawings.
  - The photo half of a crop: EfficientNet-Lite0 with ImageNet weights and SSDLite's MobileNetV2 with COCO's, both
    frozen, say how likely each of ImageNet's 1,000 classes and COCO's 79 categories of things is, and the half is the
    mean of what their names mean, weighted by that (ConSE, Norouzi et al. 2013), less what crops of photos mean on
    average. Persons and nothing in particular have a direction of their own each.
  - The drawing half of a crop: a ResNet of 6 blocks at 64x64 pixels, learned from pictograms.
  - A gate says how much a crop is of a photo, and the halves are as long as it says. It looks twice, by a logistic
    regression each: at the first layers of the drawing half, which leave out what is surely drawn, and then at
    ImageNet's features. On a CPU the photo half is computed only of crops that are looked at twice.
  - Text towers: a causal transformer for each half, of 3 layers for photos and 2 for drawings, with factorised token
    tables. The halves of a text have fixed lengths, which give photos a scale of {photo_scale:g} and drawings one of
    {drawing_scale:g}.
- RPN, class-agnostic: two networks, and a look at the whole picture, a logistic regression of the trunk's features,
  which tells how much it is a photo. Below {picture_unsure:g} it is a drawing, and the second network isn't asked.
  - For drawings: torchvision's RegionProposalNetwork on the same frozen trunk, with a feature pyramid at strides 8 to
    64. The shorter side is resized to {min_size} pixels (longer at most {max_size}).
    A drawing has {proposals} proposals of it.
  - For photos: SSDLite on MobileNetV2 (Sandler et al. 2018) with its publisher's weights, at 300x300 pixels. Here it
    does not matter which class a box shows, only how likely it shows one: the root of the likeliest class's probability
    is its objectness. A photo has {photo_proposals} proposals of it, and the {added} best that the first network finds
    besides, their objectness times {doubt:g}.
- Files: SSDLite, the photo half of crops and the text towers are stored in 8 bits, with a scale for each channel or
  row; other convolutions and linear layers are stored in half precision. They are float32 when they are loaded; token
  tables keep 8 bits, and the rows that are read become float32. There is no archive in bfloat16.

## Data and licences
- Pictograms: {concepts} concepts of Unicode's emoji, without flags, skin tones and gendered variants, with their names
  and keywords. The drawing half was trained on drawings in the styles
  {clip_styles};
  the RPN, among others, on scenes of {rpn_styles}. Backgrounds are drawn by
  `torchscript/training/scenes.py`: plain, gradients, textures, shapes.
- Photos: {photos} of COCO's train2017 with the polygons of {objects} objects, listed below. Of these were learned: the
  RPN of drawings, also from collages of the objects; and then, from its proposals too, what tells persons and nothing
  from things, the gate, and the look.
- COCO: the weights of SSDLite, from a package. They were trained by their publisher on COCO's photos with boxes of 80
  categories, of which none was used here but the {photos} above. TensorFlow's detectors were trained on train2014 and
  val2014 less 8,059 photos (`mscoco_minival_ids.txt`), and so on most of val2017.
- ImageNet: the weights of EfficientNet-Lite0, from a package, and the names of the 1,000 classes. They were trained on
  ImageNet's photos by their publisher; none of those was used here.
- Words: what words mean was taught by the embeddings that all-MiniLM-L6-v2 gives names, keywords, the names of COCO's
  80 categories, WordNet's concrete nouns and their explanations. None of its weights are in these models.

{attributions}- COCO's annotations, copyright the COCO Consortium, licensed under CC-BY 4.0: https://cocodataset.org

The weights of the trunk, the classifier and SSDLite are their publishers' (Apache-2.0), in fewer bits and with the
norms folded in. All other weights are the project's own, under its licence (Apache-2.0). No pictogram and no photo is
stored in them as a file.

The photos, whose files are not part of this repository. CC BY 2.0 is https://creativecommons.org/licenses/by/2.0/, and
CC BY-SA 2.0 is https://creativecommons.org/licenses/by-sa/2.0/.

| photo | licence | source |
|---|---|---|
{licences}
## What they know, and don't
- Drawings: pictograms by their English names and keywords, best in the styles above. Other words so far as the teacher
  puts them near one of these.
- Photos: ImageNet's 1,000 classes, {animals} of them animals, and COCO's 80 categories, of which persons are one. Other
  words so far as the teacher puts them near one of these: a word that is near none finds little, and a word that is
  near the wrong one finds that.
- Proposals of photos: things of COCO's 80 categories and what looks like them. What is like none has a proposal of low
  objectness: its score is below the command's default threshold, so ask for it with a lower `--threshold`.
- Persons: {persons}
- Small objects: {small}
- Photos and drawings are told apart crop by crop. Where the gate isn't sure, between {unsure:g} and {sure:g}, a crop
  has both halves, and a name may fit either. The drawing half decides more sharply than the photo half. Clip art,
  paintings, screenshots and photos of drawings were not measured.
- Colours, numbers, actions and what things do with each other were not measured either.
- Background phrasings that they were taught are in `torchscript/training/background.txt`.

## Measured
Measured by `torchscript/training/train.py`, whose `judge.py` crops with Pillow. Names are asked in the default
templates, beside the background's phrasings. A score is sqrt(probability x objectness); NMS is at 0.5 within a name.
Without a threshold the 100 best detections of a picture count. AP and AR are pycocotools'.
{measured}
### At the end of the training
{training}{nouns}"""

_DRAWINGS = """Scenes of 640x480 with 1 to 12 pictograms of 24 to 300 pixels, made with a seed that no training used.
{left_out}
"""
_PHOTOS = """Photos of COCO's val2017, asked for COCO's categories, which the models know best. This project learned
nothing of them, but SSDLite's publisher trained on most of val2017; and the scales of the halves, the weight of
persons, the size of crops and the number of proposals were chosen with these photos in view. So expect less of others.
Where N names are asked, they are the names of what the photo shows, at most N, and others of COCO's chosen at random. A
detection is right if it covers an object of its name at IoU 0.5 or more, and no better detection has that object.
"""
_NOUNS = """
## Words that are no class
{count} nouns that are no word for one of ImageNet's classes, no category of COCO's, and no pictogram's name or keyword,
chosen before anything was asked for (`torchscript/training/nouns.txt`), each asked for alone in all of those photos.
The best box shows it in {right} of {count}. Of the boxes whose score is below the command's default threshold the
command says nothing: {below} of {count}.

| asked for | its best box shows | score | |
|---|---|---|---|
{rows}"""


def licences(folder: Path) -> list[tuple[str, ...]]:
    """Returns the file, the licence and the source of each photo of a folder, from its
    LICENCES.tsv. Raises ValueError if one has none."""
    rows = _rows(folder / "LICENCES.tsv", ("file", "licence", "source"))
    images = {image["file_name"] for image in json.loads((folder / "instances.json").read_text())["images"]}
    listed = {row[0] for row in rows if all(row)}
    if images - listed:
        raise ValueError(f"{folder}/LICENCES.tsv lacks {', '.join(sorted(images - listed))}")
    return sorted(row for row in rows if row[0] in images)


def nouns(path: Path, models: Path) -> list[tuple[str, ...]]:
    """Returns what was asked for, what its best box shows, that one's score, and "right" or
    "wrong". People judge that, of the archives whose digests are in path.models: it is
    nothing if models has others, or if there are no such files."""
    of = path.with_suffix(".models")
    if not of.exists() or of.read_text() != digests(models):
        return []
    rows = _rows(path, ("noun", "found", "score", "verdict"))
    unclear = [row[0] for row in rows if row[3] not in ("right", "wrong")]
    if unclear:
        raise ValueError(f"{path}: neither right nor wrong: {', '.join(unclear)}")
    return rows


def digests(models: Path) -> str:
    """Returns a line for each archive of a models directory: its name, and its digest."""
    return "".join(f"{p.name} {archive.read_manifest(p)['digest']}\n" for p in sorted(models.glob("*.pt")))


def _rows(path: Path, header: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Returns the rows of a table with tabs, after its header."""
    with path.open(newline="") as file:
        first, *rows = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
    if tuple(first) != header or any(len(row) != len(header) for row in rows):
        raise ValueError(f"{path}: want a table with tabs of {', '.join(header)}")
    return [tuple(row) for row in rows]


def text(
    models: Path,
    notes: dict[str, dict],
    figures: dict[str, Figures],
    photos: Path,
    tried: Sequence[tuple[str, ...]] = (),
) -> str:
    """Returns the card of a models directory, in Markdown. notes are those of the
    checkpoints, by their names; figures are of "drawings" and, if measured, of "photos";
    photos is the folder that was learned from; tried is what nouns returns."""
    image, rpn = (archive.read_manifest(models / name) for name in ("clip-image.pt", "rpn.pt"))
    listed = licences(photos)
    annotations = json.loads((photos / "instances.json").read_text())["annotations"]
    left_out = notes["clip"]["settings"]["leave_out"]
    clip_styles = pictograms.styles_without(left_out)
    rpn_styles = pictograms.main_without(left_out)
    used = dict.fromkeys((*clip_styles, *rpn_styles, "names", "words", "sentences", "imagenet", "detector"))
    return _CARD.format(
        files="".join(f"- {p.name}: {p.stat().st_size / 1e6:.1f} MB\n" for p in sorted(models.glob("*.pt"))),
        scale=image["logit_scale"],
        size=image["input_size"],
        width=image["embedding_width"],
        photo_width=photoclip.WIDTH,
        drawing_width=image["embedding_width"] - photoclip.WIDTH,
        photo_scale=photoclip.PHOTO_SCALE,
        drawing_scale=photoclip.DRAWING_SCALE,
        min_size=rpn["min_size"],
        max_size=rpn["max_size"],
        proposals=rpn["proposals"],
        photo_proposals=ssdlite.PROPOSALS,
        added=photorpn.ADDED,
        doubt=photorpn.DOUBT,
        picture_unsure=photorpn.MARGIN,
        concepts=f"{len(pictograms.load().concepts):,}",
        clip_styles=", ".join(clip_styles),
        rpn_styles=", ".join(rpn_styles),
        photos=len(listed),
        objects=len(annotations),
        attributions="".join(
            f"- {s.package} {s.version} ({s.client}): {s.attribution}\n" for s in map(packages.SOURCES.get, used)
        ),
        licences="".join(f"| {' | '.join(row)} |\n" for row in listed),
        animals=sum(synset.file == wordnet.ANIMAL for synset in wordnet.WordNet().classes()),
        persons=_persons(notes["photos"]["figures"]),
        small=_small(figures.get("photos", {}).get("proposals", {})),
        unsure=photoclip.MARGIN,
        sure=1 - photoclip.MARGIN,
        measured=_measured(figures, left_out),
        training=_training(notes, rpn["proposals"]),
        nouns=_nouns(tried),
    )


def _persons(figures: dict[str, float]) -> str:
    """What is known of persons, from the notes of train_photos.py."""
    shares = [f"{figures[f'{kind} taken for persons']:.0%}" for kind in ("persons", "things", "places without")]
    return (
        f"few photos taught what a person is. In photos that were left out in turn (five folds), {shares[0]} of the "
        f"crops\n  of persons were taken for persons, {shares[1]} of the crops of things, and {shares[2]} of the crops "
        "of no whole\n  object."
    )


def _small(figures: dict[str, float]) -> str:
    """What proposals cover of small objects, of judge.recall."""
    kinds = (f"of {judge.LEAST} pixels or more", "of fewer pixels")
    shares = [figures.get(f"covered at IoU 0.5, objects {kind}") for kind in kinds]
    if None in shares:
        return "not measured."
    return (
        f"a proposal covers, at IoU 0.5, {shares[1]:.0%} of those whose shorter side has fewer than {judge.LEAST} "
        f"pixels,\n  and {shares[0]:.0%} of the others in the same photos."
    )


def _measured(figures: dict[str, Figures], left_out: str) -> str:
    without = f"The style {left_out} was left out: no model was trained on it." if left_out else ""
    said = {"drawings": _DRAWINGS.format(left_out=without), "photos": _PHOTOS}
    lines = []
    for domain, sets in figures.items():
        lines.append(f"\n### {domain.capitalize()}\n{said[domain]}")
        for title, values in sets.items():
            lines.append(f"\n{title[0].upper()}{title[1:]}:\n\n")
            lines += [f"- {name}: {_number(value)}\n" for name, value in values.items()]
    return "".join(lines)


def _training(notes: dict[str, dict], proposals: int) -> str:
    """The figures of the checkpoints' notes. How many proposals there are is not learned, so
    it may be another number now."""
    kinds = {
        "clip": "Drawing half, crops among all names",
        "words": "Text tower of the photo half",
        "photos": "Persons and nothing, crops of photos left out in turn",
        "gate": "Gate, share that it is right about",
        "look": "Look at the whole picture, share that it is right about",
        "rpn": f"RPN of drawings, new scenes, AR among so many proposals of those it then had; now it has {proposals}",
    }
    lines = []
    for name, kind in kinds.items():
        settings = notes[name].get("settings", {})
        parts = []
        if "steps" in settings:
            batch = f" of {settings['batch']}" if "batch" in settings else ""
            parts.append(f"{settings['steps']} steps{batch}")
        parts += [f"{what} {_number(value)}" for what, value in notes[name].get("figures", {}).items()]
        if parts:
            lines.append(f"- {kind}: {', '.join(parts)}. {notes[name].get('remark', '')}".rstrip() + "\n")
    return "".join(lines)


def _nouns(tried: Sequence[tuple[str, ...]]) -> str:
    if not tried:
        return ""
    right = sum(row[3] == "right" for row in tried)
    below = sum(float(row[2]) < judge.default_threshold() for row in tried)
    rows = "".join(f"| {' | '.join(row)} |\n" for row in tried)
    return _NOUNS.format(count=len(tried), right=right, below=below, rows=rows)


def _number(value: float) -> str:
    return f"{value:.0f}" if float(value).is_integer() and value > 1 else f"{value:.3f}"
