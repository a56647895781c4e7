"""The model card of the built-in models. Every figure in it comes from a measurement that the caller made."""

from __future__ import annotations

from pathlib import Path

import packages
import pictograms

_CARD = """# Model card: clipdet's built-in models
A small CLIP and a small region proposal network, trained on drawn pictograms, so that whoever clones clipdet sees
zero-shot detection offline. For photos, export real CLIP weights with `torchscript/export.py`.
{files}
## What they are
- CLIP to OpenAI's contract: BPE vocabulary 49,408, context 77, learned logit scale. Image tower: a ResNet of 6
  blocks at 64x64 pixels. Text tower: a causal transformer of 2 layers, its token table factorised and in half
  precision.
- RPN: torchvision's RegionProposalNetwork on a torchvision ResNet of one BasicBlock a stage, cut after stride 16,
  with a feature pyramid at strides 8 to 64. Class-agnostic; the shorter side is resized to 352 pixels (longer at
  most 640).

## Data and licences
{concepts} concepts of Unicode's emoji, without flags, skin tones and gendered variants, with their names and keywords.
The CLIP was trained on drawings in the styles {clip_styles};
the RPN on scenes of {rpn_styles}. Backgrounds are drawn by
`torchscript/training/scenes.py`: plain, gradients, textures, shapes. No photo was used. What words mean was taught by
the embeddings that all-MiniLM-L6-v2 gives the names, the keywords and WordNet's concrete nouns; none of its weights are
in these models.
{attributions}
The weights are the project's own, under its licence (Apache-2.0). No pictogram is stored in them as a file.

## What they know, and don't
They know pictograms by their English names and keywords, best in the styles above; other words so far as the teacher
puts them near one of these. They do not know photos.
Background phrasings that they were taught are in `torchscript/training/background.txt`.

## Measured
Scenes of 640x480 with 1 to 12 pictograms of 24 to 300 pixels, made with a seed that no training used. Every picture
is asked for all names of its set with the default templates; the 100 best detections a picture, score
sqrt(probability x objectness), NMS at 0.5 within a name; figures by pycocotools. Measured with
`torchscript/training/train.py`, whose `judge.py` crops with Pillow. {left_out}
{figures}
At the end of the training:
{training}
"""


def text(models: Path, clip_notes: dict, rpn_notes: dict, figures: dict[str, dict[str, float]]) -> str:
    """The card of a models directory, in Markdown."""
    files = "".join(f"- {p.name}: {p.stat().st_size / 1e6:.1f} MB\n" for p in sorted(models.glob("*.pt")))
    left_out = clip_notes["settings"]["leave_out"]
    clip_styles = pictograms.styles_without(left_out)
    rpn_styles = tuple(s for s in pictograms.STYLES if s not in pictograms.FAMILIES.get(left_out, ()))
    used = dict.fromkeys((*clip_styles, *rpn_styles, "names", "words", "sentences"))
    sources = [packages.SOURCES[key] for key in used]
    measured = []
    for title, values in figures.items():
        measured.append(f"\n### {title[0].upper()}{title[1:]}\n")
        measured += [f"- {name}: {_number(value)}\n" for name, value in values.items()]
    training = []
    for kind, notes in (("CLIP, crops among all names", clip_notes), ("RPN, new scenes", rpn_notes)):
        settings = notes["settings"]
        done = ", ".join(f"{name} {_number(value)}" for name, value in notes["figures"].items())
        steps = f"{settings['steps']} steps of {settings['batch']}"
        training.append(f"- {kind}: {steps}; {done}. {notes.get('remark', '')}".rstrip() + "\n")
    return _CARD.format(
        files=files,
        left_out=f"The style {left_out} was left out: no model was trained on it." if left_out else "",
        concepts=f"{len(pictograms.load().concepts):,}",
        clip_styles=", ".join(clip_styles),
        rpn_styles=", ".join(rpn_styles),
        attributions="".join(f"- {s.package} {s.version} ({s.client}): {s.attribution}\n" for s in sources),
        figures="".join(measured),
        training="".join(training),
    )


def _number(value: float) -> str:
    return f"{value:.0f}" if float(value).is_integer() and value > 1 else f"{value:.3f}"
