"""What archive.save writes, and what it refuses to write."""

import hashlib
import io
import json
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import archive
from archive import ContractError, Input, Weights

WEIGHTS = Weights("test", "0" * 64, "none", "tests")
FIELDS = archive.manifest("clip-image", "test", WEIGHTS, "float32", False)
CROP = [Input((1, 3, 4, 4), "float32")]


class Linear(nn.Module):
    """Keeps the contract."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(torch.randn(48, 5, generator=generator))

    def forward(self, crops: Tensor) -> Tensor:
        return crops.flatten(1) @ self.weight


class Bound(Linear):
    def forward(self, crops: Tensor) -> Tensor:
        return crops.flatten(1) @ self.weight + torch.zeros([5], device=torch.device("cpu"))


class BoundOutsideForward(Linear):
    @torch.jit.export
    def spare(self) -> Tensor:
        return torch.zeros([5], device=torch.device("cuda"))


class Native(Linear):
    def forward(self, crops: Tensor) -> Tensor:
        boxes = crops.flatten(1)[:, :4]
        return boxes[torch.ops.torchvision.nms(boxes, boxes[:, 0], 0.5)]


class OneAtATime(Linear):
    def forward(self, crops: Tensor) -> Tensor:
        return crops.reshape(1, 48) @ self.weight


class Neighbourly(Linear):
    def forward(self, crops: Tensor) -> Tensor:
        return (crops.flatten(1) - crops.flatten(1).cumsum(0)) @ self.weight


class Waiting(Linear):
    def forward(self, crops: Tensor) -> Tensor:
        return crops.flatten(1) @ self.weight * crops.shape[0] * torch.ones_like(crops).mean().item()


class Forgetful(Linear):
    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def forward(self, crops: Tensor) -> Tensor:
        self.count += 1
        return crops.flatten(1) @ self.weight + self.count


class NotANumber(Linear):
    def forward(self, crops: Tensor) -> Tensor:
        return crops.flatten(1) @ self.weight / 0 * 0


class Bidirectional(nn.Module):
    """A text tower that reads the columns after the end of the text."""

    def forward(self, tokens: Tensor) -> Tensor:
        return tokens.to(torch.float32).mean(1, keepdim=True)


def save(path: Path, module: nn.Module, inputs: list[Input] = CROP, fields: dict = FIELDS) -> dict:
    return archive.save(path, module, fields, inputs, tolerance=1e-5)


def test_operations_of_a_forward_are_counted(tmp_path: Path) -> None:
    for batch in (1, 2):
        crops = [Input((batch, 3, 4, 4), "float32")]
        assert save(tmp_path / "m.pt", Linear(), crops)["flops"] == batch * 2 * 48 * 5
    assert "flops" not in save(tmp_path / "m.pt", Bidirectional(), [Input((1, 9), "int64")])


def test_generator_is_the_one_go_has() -> None:
    # The literals of TestGenerate in pkg/internal/archive/known_answer_test.go.
    inputs = [
        Input((2, 3), "uint8"),
        Input((1, 2), "float32"),
        Input((2, 9), "int64"),
        Input((2, 2), "int64", ((5, 6), (7, 8))),
    ]
    picture, crop, tokens, literal = archive.generate(42, inputs)
    assert picture.tolist() == [[118, 82, 210], [31, 86, 12]]
    assert crop.tolist() == [[float(np.float32(217 / 255)), float(np.float32(150 / 255))]]
    assert tokens.tolist() == [
        [49406, 44167, 42126, 4305, 31391, 34883, 515, 49407, 0],
        [49406, 25389, 22310, 28411, 43100, 46770, 16345, 49407, 0],
    ]
    assert literal.tolist() == [[5, 6], [7, 8]]


def test_generator_equals_its_recurrence() -> None:
    x, want = 7, []
    for _ in range(1000):
        x = (x * 6364136223846793005 + 1442695040888963407) % 2**64
        want.append(x >> 33)
    assert archive.lcg(7, 1000).tolist() == want


def test_archive_describes_itself(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "clip-image.pt"
    described = save(path, Linear())
    extra = {"manifest.json": ""}
    module = torch.jit.load(str(path), _extra_files=extra)
    assert json.loads(extra["manifest.json"]) == described == archive.read_manifest(path)
    assert described["weights"] == {"name": "test", "sha256": "0" * 64, "licence": "none", "source": "tests"}
    answer = described["known_answer"]
    assert answer["inputs"] == [{"shape": [1, 3, 4, 4], "dtype": "float32", "values": "unit"}]
    outputs = module(*archive.generate(answer["seed"], CROP))
    assert answer["outputs"][0]["values"] == outputs.flatten().tolist()
    assert answer["outputs"][0]["sum"] == pytest.approx(outputs.sum().item(), rel=1e-5)


def test_archive_holds_nothing_of_the_machine_or_the_moment(tmp_path: Path) -> None:
    save(tmp_path / "one.pt", Linear())
    save(tmp_path / "two.pt", Linear())
    data = (tmp_path / "one.pt").read_bytes()
    assert data == (tmp_path / "two.pt").read_bytes(), "two exports of the same weights differ"
    with zipfile.ZipFile(io.BytesIO(data)) as whole:
        names = whole.namelist()
        text = b"".join(whole.read(name) for name in names)
    assert not [name for name in names if name.endswith(".debug_pkl")]
    for place in (Path(torch.__file__).parent.parent, Path(__file__).parent):
        assert str(place).encode() not in text, f"the archive names {place}"


@pytest.mark.parametrize(
    ("module", "why"),
    [
        (Bound(), "a fixed device"),
        (BoundOutsideForward(), "a fixed device"),
        (Native(), "an operator of torchvision"),
        (torch.jit.trace(Bound().eval(), torch.zeros(1, 3, 4, 4)), "a fixed device"),
        (OneAtATime(), "fails for a batch of 2"),
        (Neighbourly(), "in a batch of 2, part 1"),
        (Forgetful(), "known answer off"),
        (NotANumber(), "known answer off by inf"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else value,
)
def test_refuses(tmp_path: Path, module: nn.Module, why: str) -> None:
    path = tmp_path / "model.pt"
    with pytest.raises(ContractError, match=why) as caught:
        save(path, module)
    assert "model.pt breaks torchscript/CONTRACT.md" in str(caught.value)
    assert not list(tmp_path.iterdir()), "a refused archive was written"


def test_warns_of_waits_where_they_are_allowed(tmp_path: Path) -> None:
    class Waiting(Linear):
        def forward(self, crops: Tensor) -> Tensor:
            return crops.flatten(1) @ self.weight + float(crops.shape[0]) * (0 * self.weight.sum()).item()

    with pytest.raises(ContractError, match="a wait for the device: aten::item"):
        save(tmp_path / "model.pt", Waiting())
    with pytest.warns(UserWarning, match=r"model.pt: a wait for the device: aten::item"):
        archive.save(tmp_path / "model.pt", Waiting(), FIELDS, CROP, tolerance=1e-5, may_wait=True)
    with pytest.raises(ContractError, match="a fixed device"):
        archive.save(tmp_path / "other.pt", Bound(), FIELDS, CROP, tolerance=1e-5, may_wait=True)


def test_refuses_text_tower_that_sees_padding(tmp_path: Path) -> None:
    fields = archive.manifest("clip-text", "test", WEIGHTS, "float32", False)
    with pytest.raises(ContractError, match="columns after the last end of text"):
        save(tmp_path / "model.pt", Bidirectional(), [Input((1, 77), "int64")], fields)


def test_inspect_reports_constants_gradients_and_training() -> None:
    module = torch.jit.script(Linear().train())
    training = "training mode: call eval() before scripting"
    assert archive.inspect(archive.serialise(module)) == ["requires_grad: weight", training]
    outer = nn.Sequential(Linear(), nn.Dropout()).eval().requires_grad_(False)
    outer[1].train()
    assert archive.inspect(archive.serialise(torch.jit.script(outer))) == [training]
    constant = torch.arange(5.0)
    traced = torch.jit.trace(lambda x: x + constant, torch.zeros(5))
    assert "a tensor constant" in archive.inspect(archive.serialise(traced))[0]


class Mixed(nn.Module):
    """Has every kind of weights that CONTRACT.md lets be of another type than the
    manifest's, and a layer of any type."""

    def __init__(self, more: torch.dtype) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(3))
        self.register_buffer("std", torch.ones(3))
        self.register_buffer("end", torch.tensor(49407))
        self.table = nn.Embedding(4, 2, dtype=torch.float16)
        self.norm = nn.BatchNorm2d(3)
        self.layer = nn.Linear(2, 2, dtype=more)

    def forward(self, crops: Tensor) -> Tensor:
        return crops


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("weights", ["float32", "bfloat16", "float16", "float64", "complex64"])
def test_weights_are_of_the_type_that_the_manifest_says(dtype: str, weights: str) -> None:
    module = torch.jit.script(Mixed(getattr(torch, weights)).eval().requires_grad_(False))
    wrong = [f"weights of another type: layer.{name} is {weights}, not {dtype}" for name in ("weight", "bias")]
    found = archive.inspect(archive.serialise(module, {**FIELDS, "dtype": dtype}))
    assert found == ([] if dtype == weights else wrong)


def test_only_the_modules_own_mean_is_exempt() -> None:
    inner = nn.Module()
    inner.register_buffer("mean", torch.zeros(3))
    module = Linear()
    module.inner = inner
    module = torch.jit.script(module.eval().requires_grad_(False))
    found = archive.inspect(archive.serialise(module, {**FIELDS, "dtype": "bfloat16"}))
    assert found == [f"weights of another type: {name} is float32, not bfloat16" for name in ("weight", "inner.mean")]


def test_refuses_what_waits_for_the_device(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"a wait for the device: aten::item in test_archive.Waiting.forward"):
        save(tmp_path / "model.pt", Waiting())


def test_digest_sees_every_record_and_the_manifest(tmp_path: Path) -> None:
    save(tmp_path / "one.pt", Linear())
    data = (tmp_path / "one.pt").read_bytes()
    described = archive.read_manifest(tmp_path / "one.pt")
    with zipfile.ZipFile(io.BytesIO(data)) as whole:
        records = {name.partition("/")[2]: whole.read(name) for name in whole.namelist()}
    # As CONTRACT.md defines it, from the bytes.
    manifest, _ = records.pop("extra/manifest.json"), records.pop(".data/serialization_id")
    lines = [b"%s %d %08x\n" % (n.encode(), len(r), zlib.crc32(r)) for n, r in sorted(records.items())]
    text = manifest.replace(described["digest"].encode(), b"0" * 64)
    assert hashlib.sha256(b"".join(lines) + text).hexdigest() == described["digest"]
    # A change of the manifest, of a weight or of the code shows.
    weight = data.index(Linear().weight.detach().numpy().tobytes())
    for at, new in [
        (data.index(b'"licence": "none"') + 12, b"N"),
        (weight, b"x"),
        (data.index(b"(crops, 1)") + 8, b"0"),
    ]:
        changed = repacked(data[:at] + new + data[at + 1 :])
        assert archive.inspect(changed)[-1:] == ["a digest that is not the archive's"]


def repacked(data: bytes) -> bytes:
    """Returns a zip with its checksums corrected."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        for entry in old.infolist():
            old.fp.seek(entry.header_offset + 26)
            name, extra = struct.unpack("<HH", old.fp.read(4))
            old.fp.seek(entry.header_offset + 30 + name + extra)
            new.writestr(entry.filename, old.fp.read(entry.file_size))
    return out.getvalue()


def test_twin_answers_for_what_the_machine_cannot_run(tmp_path: Path) -> None:
    class Unrunnable(Linear):
        def forward(self, crops: Tensor) -> Tensor:
            return torch.geqrf(crops.flatten(1).half())[0] @ self.weight  # there is no half kernel

    described = archive.save(
        tmp_path / "half.pt", Unrunnable(), FIELDS, CROP, tolerance=1e-2, twin=Linear(), runs_here=False
    )
    want = Linear()(archive.generate(1, CROP)[0])
    assert archive.difference([want], described["known_answer"]["outputs"]) == 0


@pytest.mark.parametrize(
    ("got", "want"),
    [
        ([100.0, -1.5, 0.0], 0.0),
        ([100.1, -1.5, 0.0], 1e-3),  # relative to the value
        ([100.0, -1.501, 0.0], 1e-3 / 1.5),
        ([100.0, -1.5, 0.1015], 1e-3),  # in the sums alone, relative to abs_sum
        ([100.0, -1.5, float("nan")], float("inf")),
        ([100.0, -1.5], float("inf")),
    ],
)
def test_difference(got: list[float], want: float) -> None:
    answer = archive.summary([torch.tensor([100.0, -1.5, 0.0])], values=2)
    assert archive.difference([torch.tensor(got)], answer) == pytest.approx(want, rel=1e-2)


def test_digest_sees_names_types_and_values() -> None:
    state = {"a": torch.zeros(2), "b": torch.tensor(3)}
    others = [
        {"a": torch.zeros(2), "c": torch.tensor(3)},
        {"a": torch.zeros(2, dtype=torch.float16), "b": torch.tensor(3)},
        {"a": torch.zeros(1, 2), "b": torch.tensor(3)},
        {"a": torch.tensor([0, 1e-30]), "b": torch.tensor(3)},
    ]
    assert archive.digest(dict(reversed(state.items()))) == archive.digest(state)
    assert len({archive.digest(s) for s in [state, *others]}) == 5
