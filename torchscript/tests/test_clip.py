"""The exported towers against open_clip's own encode_image and encode_text."""

import copy
import json
from pathlib import Path

import open_clip
import pytest
import torch
from torch import Tensor, nn

import archive
import clip
import detectors
import towers
from archive import ContractError, Input, Weights

WEIGHTS = Weights("test", "0" * 64, "none", "tests")

TEXT = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2}
VIT = {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 8}
RESNET = {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8, "head_width": 32}

# One of each kind that open_clip builds differently. They are registered in the way that
# open_clip reads its own: from JSON files.
MODELS: dict[str, dict] = {
    "small-vit": {"embed_dim": 32, "vision_cfg": VIT, "text_cfg": TEXT},
    "small-vit-quickgelu": {"embed_dim": 32, "vision_cfg": VIT, "text_cfg": TEXT, "quick_gelu": True},
    "small-resnet": {"embed_dim": 32, "vision_cfg": RESNET, "text_cfg": TEXT, "quick_gelu": True},
    "small-separate": {"embed_dim": 32, "vision_cfg": VIT, "text_cfg": TEXT, "custom_text": True},
    "small-short": {"embed_dim": 32, "vision_cfg": VIT, "text_cfg": {**TEXT, "context_length": 32}},
    "small-both-ways": {
        "embed_dim": 32,
        "vision_cfg": VIT,
        "text_cfg": {**TEXT, "no_causal_mask": True},
        "custom_text": True,
    },
    "small-sigmoid": {"embed_dim": 32, "vision_cfg": VIT, "text_cfg": TEXT, "init_logit_bias": -10.0},
    "small-oblong": {"embed_dim": 32, "vision_cfg": {**VIT, "image_size": [32, 64]}, "text_cfg": TEXT},
}
USABLE = ["small-vit", "small-vit-quickgelu", "small-resnet", "small-separate"]


@pytest.fixture(scope="session", autouse=True)
def _registered(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("configs")
    for name, config in MODELS.items():
        (folder / f"{name}.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder)


def build(name: str) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        model = towers.Model(name).build()
        detectors.randomise_norms(model)
        detectors.spread(model.visual, torch.rand(2, 3, *open_clip.model.to_2tuple(model.visual.image_size)))
    return model


def crops(pair: clip.Pair, count: int) -> Tensor:
    coarse = archive.generate(9, [Input((count, 3, 4, 4), "float32")])[0]
    return nn.functional.interpolate(coarse, size=(pair.size, pair.size))


def tokens(count: int) -> Tensor:
    return archive.generate(9, [Input((count, clip.CONTEXT), "int64")])[0]


@torch.no_grad()
def reference(model: nn.Module, pair: clip.Pair, count: int) -> tuple[Tensor, Tensor]:
    mean, std = (torch.tensor(values)[:, None, None] for values in (pair.mean, pair.std))
    image = model.encode_image((crops(pair, count) - mean) / std, normalize=True)
    return image, model.encode_text(tokens(count), normalize=True)


def load(paths: list[Path]) -> list[nn.Module]:
    return [torch.jit.load(str(path), map_location="cpu") for path in paths]


@pytest.mark.parametrize("name", USABLE)
def test_float32_equals_open_clip(tmp_path: Path, name: str) -> None:
    model = build(name)
    pair = towers.pair(name, model)
    want = reference(model, pair, 3)
    assert (want[0] @ want[0].T).std() > 1e-3, "the crops' embeddings do not vary"
    image, text = load(clip.export(tmp_path, pair, WEIGHTS))
    (seen,), (read,) = archive.run(image, [crops(pair, 3)]), archive.run(text, [tokens(3)])
    torch.testing.assert_close(seen, want[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(read, want[1], atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", USABLE)
def test_bfloat16_is_near_float32(tmp_path: Path, name: str) -> None:
    model = build(name)
    pair = towers.pair(name, model)
    want = reference(model, pair, 3)
    image, text = load(clip.export(tmp_path, pair, WEIGHTS, "bfloat16"))
    norms = {value.dtype for n, value in image.named_parameters() if ".ln_" in n}
    assert norms == (set() if name == "small-resnet" else {torch.float32}), "layer norms keep their float32 weights"
    assert text.tower.token_embedding.weight.dtype == torch.bfloat16
    for (got,), expected in zip(
        (archive.run(image, [crops(pair, 3)]), archive.run(text, [tokens(3)])), want, strict=True
    ):
        assert got.dtype == torch.float32
        torch.testing.assert_close(got.norm(dim=1), torch.ones(3), atol=1e-5, rtol=0)
        assert ((got * expected).sum(1) > 0.999).all()
    assert next(pair.image.parameters()).dtype == torch.float32, "the export changed the model's own weights"


def test_float16_is_written_with_the_answer_of_float32(tmp_path: Path) -> None:
    model = build("small-resnet")
    pair = towers.pair("small-resnet", model)
    paths = clip.export(tmp_path, pair, WEIGHTS, "float16")
    assert [path.name for path in paths] == ["clip-image.float16.pt", "clip-text.float16.pt"]
    want, _ = reference(model, pair, 1)
    answer = archive.read_manifest(paths[0])["known_answer"]
    assert answer["outputs"][0]["shape"] == list(want.shape)
    assert {p.dtype for p in torch.jit.load(str(paths[0])).parameters()} == {torch.float16}


def test_manifests_belong_together(tmp_path: Path) -> None:
    model = build("small-vit")
    pair = towers.pair("small-vit", model)
    clip.export(tmp_path, pair, WEIGHTS)
    clip.export(tmp_path, pair, WEIGHTS, "bfloat16", channels_last=False)
    image, text, half = (
        archive.read_manifest(tmp_path / name) for name in ("clip-image.pt", "clip-text.pt", "clip-image.bfloat16.pt")
    )
    assert image["kind"] == "clip-image"
    assert (image["input_size"], image["mean"], image["std"]) == (32, pair.mean, pair.std)
    assert (text["kind"], text["context_length"], text["vocabulary"]) == ("clip-text", 77, 49408)
    assert text["tokenizer"] == "clip-bpe"
    assert "tokenizer" not in image
    for described in (image, text, half):
        assert described["score"] == "softmax"
        assert described["embedding_width"] == 32
        assert described["logit_scale"] == pytest.approx(1 / 0.07, rel=1e-5), "as open_clip starts it"
        assert described["clip_id"] == image["clip_id"]
    assert (image["memory_format"], half["memory_format"]) == ("channels_last", "contiguous")
    other = copy.deepcopy(model)
    other.logit_scale.data += 1
    other.ln_final.bias.data[0] += 1e-3
    clip.export(tmp_path / "other", towers.pair("small-vit", other), WEIGHTS)
    assert archive.read_manifest(tmp_path / "other" / "clip-image.pt")["clip_id"] != image["clip_id"]


def test_plain_towers(tmp_path: Path) -> None:
    class Words(nn.Module):
        """A plain tower with an integer buffer, which no cast may change."""

        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(49408, 4)
            self.norm = nn.LayerNorm(4)
            self.register_buffer("end", torch.tensor(49407))

        def forward(self, tokens: Tensor) -> Tensor:
            shown = (tokens > 0) & (tokens < self.end)
            return self.norm(self.table(tokens) * shown[:, :, None].to(self.table.weight.dtype)).sum(1)

    image = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    pair = clip.Pair(image, Words(), "plain", 8, [0.5] * 3, [0.5] * 3, 10.0)
    nn.init.ones_(pair.text.norm.bias)
    with pytest.raises(ContractError, match="columns after the last end of text"):
        clip.export(tmp_path, pair, WEIGHTS)  # its norm turns zeros into its bias, which the sum counts
    nn.init.zeros_(pair.text.norm.bias)
    for dtype in ("float32", "bfloat16"):
        _, text = load(clip.export(tmp_path, pair, WEIGHTS, dtype))
        assert text.tower.end.item() == 49407
        assert text.tower.end.dtype == torch.int64


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("small-short", r"takes \(length, vocabulary\) \(32, 49408\)"),
        ("small-both-ways", "causal and read at the end"),
        ("small-sigmoid", "logit bias"),
        ("small-oblong", "not square"),
        ("coca_ViT-B-32", "not CLIP's"),
    ],
)
def test_models_that_are_no_clip_are_refused(name: str, why: str) -> None:
    if name.startswith("coca"):
        model = nn.Module()
        model.text = open_clip.transformer.TextTransformer(**TEXT, embed_cls=True, output_dim=32)
    else:
        model = towers.Model(name).build()
    with pytest.raises(ValueError, match=why) as caught:
        towers.pair(name, model)
    assert str(caught.value).startswith(f"{name}: ")


def test_unknown_name_lists_known_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown model .ViT-Z.; there are, among others: RN50, .*ViT-B-32,"):
        towers.Model("ViT-Z").build()


def test_checkpoints_of_each_form(tmp_path: Path) -> None:
    name = "small-vit"
    model = build(name)
    state = model.state_dict()
    half = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
    openai = {
        **half,
        "input_resolution": torch.tensor(32),
        "context_length": torch.tensor(77),
        "vocab_size": torch.tensor(49408),
    }
    torch.save(state, tmp_path / "plain.pt")
    torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}}, tmp_path / "training.pt")
    torch.save(openai, tmp_path / "openai.pt")
    want = towers.pair(name, model)
    for file in ("plain.pt", "training.pt"):
        got, weights = towers.Model(name).from_file(tmp_path / file, "MIT", "here")
        assert archive.digest(got.image.state_dict()) == archive.digest(want.image.state_dict()), file
        assert archive.digest(got.text.state_dict()) == archive.digest(want.text.state_dict()), file
        assert (weights.name, weights.licence, weights.source) == (file, "MIT", "here")
    got, _ = towers.Model(name).from_file(tmp_path / "openai.pt", "MIT", "here")
    assert got.image.blocks[0].quick, "OpenAI's weights were trained with QuickGELU"
    assert next(got.image.parameters()).dtype == torch.float32
    separate, _ = towers.Model("small-separate").from_file(tmp_path / "plain.pt", "MIT", "here")
    assert archive.digest(separate.text.state_dict()) == archive.digest(want.text.state_dict())
    with pytest.raises(ValueError, match=r"plain.pt: not weights of small-resnet"):
        towers.Model("small-resnet").from_file(tmp_path / "plain.pt", "MIT", "here")
