"""One command makes the models: its parts fit together, and from checkpoints to the card it
runs here with small random towers."""

import argparse
import inspect
from dataclasses import asdict
from pathlib import Path

import drawn
import pytest
import torch

import archive
import card
import export
import photoclip
import photorpn
import progress
import smallclip
import smallrpn
import train

# The glance reads 64 channels of the drawing tower.
DRAWING = smallclip.Config(channels=(8, 64, 16, 16), embedding=16, token_width=8, text_width=32, text_layers=1)
WORDS = smallclip.Config(embedding=photoclip.WIDTH, token_width=8, text_width=32, text_layers=1)


def write_checkpoints(work: Path) -> None:
    """Writes what the parts of the training would, with random weights. All pictures and
    crops are drawings at a glance."""
    torch.manual_seed(1)
    work.mkdir()
    model, photo = smallclip.SmallCLIP(DRAWING).eval(), photoclip.PhotoTower().eval()
    settings = {"steps": 3, "batch": 2, "leave_out": "fxemoji"}
    progress.save(work / "clip.ckpt", model, {"settings": settings, "figures": {"top-1": 0.5}})
    progress.save(work / "rpn.ckpt", smallrpn.SmallRPN().eval(), {"settings": settings, "figures": {"AR@10": 0.25}})
    figures = {f"{kind} taken for persons": 0.25 for kind in ("things", "persons", "places without")}
    progress.write(work / "photos.ckpt", {"state": photo.state_dict(), "notes": {"figures": figures}})
    look = {"weight": torch.zeros(1, photorpn.WIDTH), "bias": torch.tensor([-9.0])}
    progress.write(work / "look.ckpt", {"look": look, "notes": {"figures": {}}})
    gate = photoclip.ImageTower(photo, model.image).gate.state_dict()
    glance = {"weight": torch.zeros(1, 3 * photoclip.GATED), "bias": torch.tensor([-9.0])}
    progress.write(work / "gate.ckpt", {"glance": glance, "gate": gate, "notes": {"figures": {}}})
    tower = smallclip.TextTower(WORDS)
    progress.write(work / "words.ckpt", {"config": asdict(WORDS), "state": tower.state_dict(), "notes": {}})


def test_each_part_is_called_as_it_wants(tmp_path: Path) -> None:
    steps = {"clip_steps": 1, "text_steps": 1, "rpn_steps": 1, "word_steps": 1}
    options = argparse.Namespace(work=tmp_path, photos=tmp_path, photos_train=tmp_path, seed=1, leave_out="", **steps)
    made = train.parts(options)
    assert set(made) == {*export.PROPOSALS, *export.PARTS}
    for name, part in made.items():
        wanted = inspect.signature(part.train)
        given = wanted.bind(part.path, *part.arguments).arguments
        assert given["out"] == tmp_path / f"{name}.ckpt"
        for key, value in given.items():
            kind = wanted.parameters[key].annotation
            assert ("Path" if isinstance(value, Path) else type(value).__name__) in kind, f"{name}: {key}"


def test_the_four_parts_of_the_clip_are_exported(tmp_path: Path) -> None:
    work = tmp_path / "work"
    write_checkpoints(work)
    options = [option for part in export.PARTS for option in (f"--{part}", str(work / f"{part}.ckpt"))]
    assert export.main(["builtin", *options, "--out", str(tmp_path)]) == 0
    written = {path.name: archive.read_manifest(path) for path in tmp_path.glob("*.pt")}
    assert set(written) == {"clip-image.pt", "clip-text.pt"}
    assert len({m["clip_id"] for m in written.values()}) == 1, "the towers don't fit together"
    described = written["clip-image.pt"]
    assert (described["dtype"], described["resize_mode"]) == ("float32", "squash")
    assert described["block"] == photoclip.BLOCK
    assert not any("batch_norm" in archive.code((tmp_path / name).read_bytes()) for name in written)
    scales = photoclip.Scales(photoclip.PHOTO_SCALE, photoclip.DRAWING_SCALE)
    image, text = photoclip.load(*(work / f"{part}.ckpt" for part in export.PARTS), scales)
    crops, tokens = torch.rand(3, 3, photoclip.SIZE, photoclip.SIZE), torch.zeros(1, 77, dtype=torch.int64)
    tokens[0, :3] = torch.tensor([49406, 320, 49407])
    mean, std = (torch.tensor(described[key])[:, None, None] for key in ("mean", "std"))
    with torch.inference_mode():
        found = torch.jit.load(tmp_path / "clip-image.pt")(crops), torch.jit.load(tmp_path / "clip-text.pt")(tokens)
        want = image((crops - mean) / std), text(tokens)
    for one, other in zip(found, want, strict=True):
        assert torch.allclose(one, other, atol=5e-3), "stored in half precision and 8 bits"
    assert torch.equal(torch.jit.load(tmp_path / "clip-image.pt")(crops), found[0])


@pytest.mark.pictograms
def test_from_checkpoints_to_the_card(tmp_path: Path) -> None:
    work, out, photos = tmp_path / "work", tmp_path / "out", drawn.photos(tmp_path / "photos")
    write_checkpoints(work)
    before = {path.name: path.read_bytes() for path in work.glob("*.ckpt")}
    arguments = ["--out", str(out), "--work", str(work), "--scenes", "1"]
    assert train.main([*arguments, "--photos-train", str(photos), "--photos", str(photos)]) == 0
    assert {path.name: path.read_bytes() for path in work.glob("*.ckpt")} == before, "a part was trained again"
    assert {path.name for path in out.iterdir()} == {"rpn.pt", "clip-image.pt", "clip-text.pt", "MODELCARD.md"}
    text = (out / "MODELCARD.md").read_text()
    for line in (
        "| 0.png | CC BY 2.0 | https://example.com/0.png |",
        "- Persons: few photos taught what a person is. In photos that were left out in turn (five folds), 25% of the",
        "- boxes, persons: 2",
        "- 5 names: precision:",
        "- 20 names: recall:",
        f"A drawing has {smallrpn.Config.proposals} proposals of",
        "- keywords asked: 200",
        f"now it has {smallrpn.Config.proposals}: 3 steps of 2, AR@10 0.250.",
        "- Drawing half, crops among all names: 3 steps of 2, top-1 0.500.",
    ):
        assert line in text
    assert "{" not in text
    assert "Words that are no class" not in text, "people judged these with other models"


def test_a_photo_without_a_licence_is_named(tmp_path: Path) -> None:
    folder = drawn.photos(tmp_path / "photos")
    assert [row[0] for row in card.licences(folder)] == ["0.png", "1.png"]
    (folder / "LICENCES.tsv").write_text("file\tlicence\tsource\n0.png\tCC BY 2.0\thttps://example.com\n1.png\t\t\n")
    with pytest.raises(ValueError, match=r"lacks 1\.png"):
        card.licences(folder)
