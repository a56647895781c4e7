"""Image towers in 8 bits: near float32, and the same to the bit whatever is in the batch."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from test_clip import MODELS, WEIGHTS, build, load
from test_clip import _registered as _registered
from torch import Tensor, nn

import archive
import clip
import eight
import export
import pictures
import towers
import transformer

HERE = Path(eight.__file__).parent
PHOTOS = HERE.parent / "testdata" / "photos"
VITS = ["small-vit", "small-vit-quickgelu"]
BLOCK = 16  # the crops that clipdet encodes at once on a CPU


def photos(size: int, count: int) -> Tensor:
    return pictures.crops(PHOTOS, size, count)


def least_cosine(got: Tensor, want: Tensor) -> float:
    return float((got * want).sum(1).min())


@pytest.fixture(scope="module", params=VITS)
def tower_of(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, nn.Module]:
    """The image tower of a model, by its type."""
    folder = tmp_path_factory.mktemp(request.param)
    pair = towers.pair(request.param, build(request.param))
    return {dtype: load(clip.export(folder, pair, WEIGHTS, dtype))[0] for dtype in ("float32", "int8")}


def test_near_float32(tower_of: dict[str, nn.Module]) -> None:
    (got,), (want,) = (archive.run(tower_of[dtype], [photos(32, 200)]) for dtype in ("int8", "float32"))
    assert got.dtype == torch.float32
    torch.testing.assert_close(got.norm(dim=1), torch.ones(200), atol=1e-5, rtol=0)
    # Products of 64 numbers; those of ViT-B/32 have 768 and more, whose errors cancel.
    assert 0.998 < least_cosine(got, want) < 0.999999, "in 8 bits it is near, and not the same"


def test_an_embedding_does_not_depend_on_its_batch(tower_of: dict[str, nn.Module]) -> None:
    def encoded(part: Tensor) -> Tensor:
        # clipdet fills a batch up to 16 with copies of its first.
        filled = torch.cat([part, part[:1].expand(BLOCK - len(part), *part.shape[1:])])
        return archive.run(tower_of["int8"], [filled])[0][: len(part)]

    inputs = photos(32, 64)
    among64 = torch.cat([encoded(part) for part in inputs.split(BLOCK)])
    alone = torch.cat([encoded(part) for part in inputs.split(1)])
    among7 = torch.cat([encoded(part) for part in inputs.split(7)])
    assert torch.equal(alone, among64)
    assert torch.equal(among7, among64)


@pytest.mark.parametrize("most", [127, 255])
@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("every", [1, 5])
def test_the_class_tokens_row_has_more_bits(every: int, signed: bool, most: int) -> None:
    torch.manual_seed(1)
    x, plain = torch.randn(20, 96), nn.Linear(96, 64)
    x = x if signed else nn.functional.gelu(x)
    layer = eight.Linear(plain, signed)
    most = min(most, layer.most)  # without VNNI activations have 7 bits
    layer.most, layer.zero = most, (most + 1) // (2 if signed else 8)
    layer.offset.fill_(layer.zero + 0.5)
    with torch.no_grad():
        weight = layer.weight * layer.scale[:, None]  # as it was rounded; this is of the input's rounding
        want = x @ weight.T + plain.bias
        off = (layer(x.clone(), plain.bias[None], every) - want).norm(dim=1) / want.norm(dim=1)
    fine = torch.arange(20) % every == 0
    # Five bits more at least, which is 1 / 30 of a step.
    assert off[fine].max() < 1e-3
    assert every == 1 or off[~fine].min() > 2e-3, "the others are as coarse as 8 bits are"


@pytest.mark.parametrize("isa", ["AVX512_CORE", "AVX2"])
def test_processors_without_vnni_are_right(isa: str, tmp_path: Path) -> None:
    # There sums of two products saturate in 16 bits, unless activations have 7 bits.
    # oneDNN reads the limit when it starts.
    path, answers = tmp_path / "tower.pt", tmp_path / "answers"
    inputs = photos(32, BLOCK)
    module = eight.shrink(plain_tower())
    torch.jit.save(torch.jit.script(clip.ImageEncoder(module, 32, [0.5] * 3, [0.3] * 3, "int8", True)), str(path))
    torch.save(inputs, tmp_path / "inputs")
    code = f"""
import torch
module = torch.jit.load({str(path)!r})
with torch.inference_mode():
    torch.save((module(torch.load({str(tmp_path / "inputs")!r})), module.tower.last.up.most), {str(answers)!r})
"""
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": isa}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    got, most = torch.load(answers)
    plain = clip.ImageEncoder(plain_tower(), 32, [0.5] * 3, [0.3] * 3, "float32", True)
    (want,) = archive.run(plain, [inputs])
    assert most == 127, f"{isa} saturates, so activations have 7 bits"
    assert least_cosine(got, want) > 0.995, "right, with twice the error of 8 bits"


def plain_tower() -> nn.Module:
    return towers.pair("small-vit", build("small-vit")).image


def test_weights_are_a_quarter(tmp_path: Path) -> None:
    block = transformer.Block(towers.Model("ViT-B-32").build().visual.transformer.resblocks[0], causal=False)
    one = torch.ones(768)
    paths = tmp_path / "float32.pt", tmp_path / "int8.pt"
    torch.jit.script(block).save(str(paths[0]))
    torch.jit.script(eight.Block(block, one, one)).save(str(paths[1]))
    sizes = [path.stat().st_size for path in paths]
    assert sizes[1] < 0.27 * sizes[0]


def test_crops_of_pictures_tame_outliers() -> None:
    # Every token has one channel with a large number, as in trained transformers.
    tower = towers.pair("small-vit", build("small-vit")).image
    inputs = (photos(32, 64) - 0.5) / 0.3
    with torch.no_grad():
        tower.positional_embedding[:, 5] += 50
        for block in [*tower.blocks, tower.last]:
            for layer in (block.qkv, block.up):
                layer.weight[:, 5] /= 50  # so that it does not drown the others
    with torch.inference_mode():
        want = nn.functional.normalize(tower(inputs), dim=1)
        without = nn.functional.normalize(eight.shrink(tower)(inputs), dim=1)
        tamed = nn.functional.normalize(eight.shrink(tower, inputs[:32])(inputs), dim=1)
    assert "row" not in vars(tower.last), "the tower is as it was"
    assert 1 - least_cosine(tamed, want) < 0.5 * (1 - least_cosine(without, want))


def test_only_transformers_have_8_bits(tmp_path: Path) -> None:
    pair = towers.pair("small-resnet", build("small-resnet"))
    with pytest.raises(ValueError, match="int8 is for transformers"):
        clip.export(tmp_path, pair, WEIGHTS, "int8")
    assert not list(tmp_path.iterdir())


def test_texts_stay_in_float32(tmp_path: Path) -> None:
    pair = towers.pair("small-vit", build("small-vit"))
    _, plain = clip.export(tmp_path / "float32", pair, WEIGHTS)
    paths = clip.export(tmp_path / "int8", pair, WEIGHTS, "int8")
    assert [path.name for path in paths] == ["clip-image.int8.pt", "clip-text.pt"]
    assert paths[1].read_bytes() == plain.read_bytes()
    with pytest.raises(ValueError, match="int8 is for transformers"):
        eight.shrink(pair.text)


def test_the_manifest_and_the_known_answer(tmp_path: Path) -> None:
    pair = towers.pair("small-vit", build("small-vit"))
    other = archive.read_manifest(clip.export(tmp_path, pair, WEIGHTS)[0])
    path = clip.export(tmp_path, pair, WEIGHTS, "int8")[0]
    described = archive.read_manifest(path)
    assert described["dtype"] == "int8"
    assert described["clip_id"] == other["clip_id"], "it is a tower of the same CLIP"
    assert described["flops"] == other["flops"], "a multiply-add of integers counts too"
    assert described["known_answer"]["outputs"] == other["known_answer"]["outputs"], "the answer is float32's"
    assert archive.inspect(path.read_bytes()) == []


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["rpn", "--name", "x", "--random", "1", "--out", "o", "--dtype", "int8"], "is for the image transformer"),
        (["clip", "--name", "x", "--random", "1", "--out", "o", "--calibrate", "p"], "--calibrate is for --dtype int8"),
    ],
)
def test_wrong_usage(arguments: list[str], why: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        export.main(arguments)
    assert caught.value.code == 2
    assert why in capsys.readouterr().err


def test_calibrating_by_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["clip", "--name", VITS[0], "--random", "1", "--dtype", "int8", "--out", str(tmp_path)]
    assert export.main(arguments) == 0
    before = (tmp_path / "clip-image.int8.pt").read_bytes()
    assert export.main([*arguments, "--calibrate", str(PHOTOS)]) == 0
    assert (tmp_path / "clip-image.int8.pt").read_bytes() != before
    (tmp_path / "none").mkdir()
    assert export.main([*arguments, "--calibrate", str(tmp_path / "none")]) == 1
    assert "there is no picture" in capsys.readouterr().err


def test_crops_are_as_many_and_the_same_again() -> None:
    some = pictures.crops(PHOTOS, 32, 10)
    assert some.shape == (10, 3, 32, 32)
    assert 0 <= float(some.min()) < float(some.max()) <= 1
    assert torch.equal(some, pictures.crops(PHOTOS, 32, 10))
    assert MODELS[VITS[0]]["vision_cfg"]["image_size"] == 32
