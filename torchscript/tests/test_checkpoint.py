"""Weights in each published form, and files that would run code if they were trusted."""

import argparse
import io
import pickle
import random
import struct
import subprocess
import zipfile
from collections import defaultdict, deque
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

import checkpoint
import smallclip
import smallrpn


class Inner(nn.Module):
    """A module with a half parameter, as in OpenAI's archives, a view, a buffer, a list,
    and values that are no weights."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 4).half())
        self.turned = nn.Parameter(torch.randn(2, 5).t())
        self.register_buffer("size", torch.tensor(224))
        self.register_buffer("nothing", torch.zeros(0, 3))
        self.shape = [1, 2, 3]
        self.eps = 1e-5

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight.float() + self.eps


class Outer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(Inner(), nn.Linear(4, 2))
        self.flag = nn.Parameter(torch.tensor(True), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


@pytest.fixture
def state() -> dict[str, Tensor]:
    torch.manual_seed(1)
    return Outer().state_dict()


def same(got: dict[str, Tensor], want: dict[str, Tensor]) -> None:
    assert sorted(got) == sorted(want)
    for name, value in want.items():
        assert got[name].dtype == value.dtype, name
        assert torch.equal(got[name], value), name


@pytest.mark.parametrize("how", ["script", "trace"])
def test_torchscript_archives_as_torch_reads_them(tmp_path: Path, how: str) -> None:
    torch.manual_seed(1)
    module = Outer().eval()
    scripted = torch.jit.script(module) if how == "script" else torch.jit.trace(module, torch.zeros(1, 3))
    torch.jit.save(scripted, tmp_path / "model.pt")
    got = checkpoint.read(tmp_path / "model.pt")
    same(got, torch.jit.load(tmp_path / "model.pt").state_dict())
    same(got, module.state_dict())


def test_other_forms(tmp_path: Path, state: dict[str, Tensor]) -> None:
    torch.save(state, tmp_path / "plain.pt")
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    torch.save({"epoch": 3, "state_dict": {f"module.{k}": v for k, v in state.items()}}, tmp_path / "training.pt")
    parameters = {name: nn.Parameter(value, requires_grad=False) for name, value in state.items()}
    torch.save(parameters, tmp_path / "parameters.pt")
    safetensors.torch.save_file({k: v.contiguous() for k, v in state.items()}, tmp_path / "hub.safetensors")
    for file in ("plain.pt", "old.pth", "training.pt", "parameters.pt", "hub.safetensors"):
        same(checkpoint.read(tmp_path / file), state)


def test_what_training_scripts_save_beside_the_weights(tmp_path: Path, state: dict[str, Tensor]) -> None:
    # As torchvision's references/detection/train.py does, in its own order.
    model = Outer()
    optimizer = torch.optim.SGD(model.layers[1].parameters(), lr=0.02, momentum=0.9, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[16, 22], gamma=0.1)
    model.layers[1](torch.zeros(1, 4)).sum().backward()
    optimizer.step()
    saved = {
        "model": state,
        "optimizer": optimizer.state_dict(),
        "lr_scheduler": schedule.state_dict(),
        "args": argparse.Namespace(data_path="coco", lr_steps=[16, 22], out=tmp_path, device=torch.device("cpu")),
        "epoch": 25,
        "ema": model,
        "scaler": {"scale": 65536.0, "steps": defaultdict(int, {1: 2}), "seen": deque([1, 2])},
    }
    for zipped in (True, False):
        torch.save(saved, tmp_path / "training.pth", _use_new_zipfile_serialization=zipped)
        same(checkpoint.read(tmp_path / "training.pth"), state)
        with pytest.raises(ValueError, match=r"training.pth: .*Counter, which no weights need"):
            checkpoint.load(tmp_path / "training.pth")


def test_a_whole_model_is_refused(tmp_path: Path) -> None:
    for zipped in (True, False):
        torch.save({"model": Outer(), "epoch": 1}, tmp_path / "model.pth", _use_new_zipfile_serialization=zipped)
        with pytest.raises(ValueError, match=r"model.pth: .*\.Outer, .*; write one with torch.save\("):
            checkpoint.read(tmp_path / "model.pth")


def test_a_class_among_weights_is_named(tmp_path: Path) -> None:
    # As in the state dict of a quantised network.
    torch.save({"weight": torch.ones(2), "dtype": torch.qint8}, tmp_path / "quantised.pth")
    for read in (checkpoint.read, checkpoint.load):
        with pytest.raises(ValueError, match=r"quantised.pth: .* asks for torch.qint8, which no weights need"):
            read(tmp_path / "quantised.pth")


class Evil:
    """An object whose unpickling runs a command."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple:
        return subprocess.check_call, (["touch", str(self.file)],)


def archive(path: Path, data: bytes, names: tuple[str, ...] = ("constants.pkl",)) -> None:
    with zipfile.ZipFile(path, "w") as file:
        for name in names:
            file.writestr(f"model/{name}", pickle.dumps((), protocol=2))
        file.writestr("model/data.pkl", data)
        file.writestr("model/version", "3\n")
        file.writestr("model/data/0", bytes(8))


def storage(count: int, size: int, function: str = "torch._utils\n_rebuild_tensor_v2") -> bytes:
    """Returns a pickle that has, in place of a module, a tensor of size values in a
    storage of count."""
    persistent = b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0" + b"0X\x03\0\0\0cpu" + b"K%ctQ" % count
    return b"\x80\x02c" + function.encode() + b"\n(" + persistent + b"K\0K%c\x85K\x01\x85\x89N" % size + b"tR."


def test_no_form_runs_code(tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    evil = pickle.dumps(Evil(touched), protocol=2)
    archive(tmp_path / "scripted.pt", evil)
    archive(tmp_path / "saved.pt", evil, names=())
    (tmp_path / "old.pt").write_bytes(evil)
    torch.save({"weight": Evil(touched)}, tmp_path / "nested.pt")
    archive(tmp_path / "builtins.pt", b"\x80\x02cbuiltins\neval\nX\x03\0\0\x001+1\x85R.")
    archive(tmp_path / "within.pt", b"\x80\x02ctorch\nhub.load\nX\x03\0\0\x001+1\x85R.")
    for file in ("scripted.pt", "saved.pt", "old.pt", "nested.pt", "builtins.pt", "within.pt"):
        with pytest.raises(ValueError, match=file):
            checkpoint.read(tmp_path / file)
        assert not touched.exists(), f"{file} ran a command"
    torch.save({"args": Evil(touched), "model": {"weight": torch.ones(2)}}, tmp_path / "beside.pt")
    same(checkpoint.read(tmp_path / "beside.pt"), {"weight": torch.ones(2)})
    assert not touched.exists(), "beside.pt ran a command"
    for load in (smallclip.load, smallrpn.load):
        for file in ("saved.pt", "old.pt", "nested.pt"):
            with pytest.raises(ValueError, match=file):
                load(tmp_path / file)
            assert not touched.exists(), f"{file} ran a command"
    pickle.loads(evil)
    assert touched.exists(), "the test's own code would not have run either"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (storage(9, 2), "storage 0 has 2 values of 9"),
        (storage(2, 3), "out of bounds"),
        (storage(2, 2, "torch._utils\n_rebuild_qtensor"), "it asks for torch._utils._rebuild_qtensor"),
        (b"\x80\x02(X\x06\0\0\0modulectorch\nFloatStorage\nK\0K\0K\0tQ.", "it refers to a module"),
        (b"\x80\x02", "ran out|EOF|Ran out"),
        (b"", "ran out|EOF|Ran out"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_broken_archives_are_errors(tmp_path: Path, data: bytes, why: str) -> None:
    archive(tmp_path / "model.pt", data)
    with pytest.raises(ValueError, match=rf"model.pt: not a file of weights: .*({why})") as caught:
        checkpoint.read(tmp_path / "model.pt")
    assert "\n" not in str(caught.value)


def test_a_pickle_works_on_no_tensor(tmp_path: Path) -> None:
    # The pickles call weights[0] = 5 and weights.set_(...). torch.load still calls set_
    # in torch 2.11.
    tensor = storage(2, 2).removeprefix(b"\x80\x02").removesuffix(b".")
    archive(tmp_path / "item.pt", b"\x80\x02" + tensor + b"K\0K\x05s.", names=())
    with pytest.raises(ValueError, match=r"item.pt: .*does not support item assignment"):
        checkpoint.read(tmp_path / "item.pt")
    archive(tmp_path / "state.pt", b"\x80\x02}X\x01\0\0\0w" + tensor + b"(" + b"K\0" * 5 + b"tbs.", names=())
    with pytest.raises(ValueError, match=r"state.pt: "):
        checkpoint.read(tmp_path / "state.pt")


@pytest.mark.parametrize("form", ["zip", "old", "TorchScript"])
def test_damaged_files_are_errors(tmp_path: Path, state: dict[str, Tensor], form: str) -> None:
    path = tmp_path / "model.pt"
    if form == "TorchScript":
        torch.jit.save(torch.jit.script(Outer().eval()), path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=form == "zip")
    whole = path.read_bytes()
    draw = random.Random(1)
    refused = []
    for _ in range(1500):
        data = bytearray(whole)
        for _ in range(draw.choice((1, 3, 30))):
            data[draw.randrange(len(data))] = draw.randrange(256)
        path.write_bytes(data[: draw.randrange(len(data))] if draw.random() < 0.2 else data)
        try:
            got = checkpoint.read(path)
        except ValueError as error:
            refused.append(str(error))
        else:
            assert all(isinstance(value, Tensor) for value in got.values())
    assert len(refused) > 300
    assert all(said.startswith(f"{path}: ") and "\n" not in said for said in refused)


def test_files_that_are_none_are_errors(tmp_path: Path) -> None:
    (tmp_path / "page.pt").write_text("<html>404</html>")
    (tmp_path / "empty.pt").write_bytes(b"")
    (tmp_path / "cut.safetensors").write_bytes(bytes(7))
    torch.save([1, 2], tmp_path / "list.pt")
    archive(tmp_path / "tensor.pt", storage(2, 2))
    archive(tmp_path / "none.pt", b"\x80\x02N.")
    for file, why in {
        "page.pt": "not a file of weights",
        "empty.pt": "not a file of weights",
        "cut.safetensors": "not a safetensors file",
        "list.pt": "not a state dict",
        "tensor.pt": "not a state dict",
        "none.pt": "not a state dict",
    }.items():
        with pytest.raises(ValueError, match=f"{file}: {why}") as caught:
            checkpoint.read(tmp_path / file)
        assert "\n" not in str(caught.value)


class Writer(nn.Module):
    """Writes a file while it is loaded, and returns another file's content when it is
    called."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))

    @torch.jit.export
    def __getstate__(self):  # TorchScript infers it
        return self.weight, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[Tensor, bool]) -> None:
        self.weight, self.training = state
        torch.save(self.weight, "written")

    def forward(self, size: int) -> Tensor:
        return torch.from_file("secret", False, size, dtype=torch.uint8)


def test_torchscript_reads_and_writes_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # CONTRACT.md warns of this, and clipdet locks models because of it. It has to be true
    # of the libtorch that runs.
    monkeypatch.chdir(tmp_path)
    Path("secret").write_bytes(b"key")
    torch.jit.script(Writer()).save("archive.pt")
    loaded = torch.jit.load("archive.pt")
    assert Path("written").exists()
    assert bytes(loaded(3).numpy()) == b"key"
    Path("written").unlink()
    disguise(Path("archive.pt"), Path("disguised.pt"))
    for file in ("archive.pt", "disguised.pt"):
        with pytest.raises(ValueError, match=r"not a state dict|not a file of weights"):
            checkpoint.read(Path(file))
        assert not Path("written").exists(), "the exports' reader ran the code of an archive"
        with pytest.warns(UserWarning, match="TorchScript"), pytest.raises(RuntimeError, match="weights_only=True"):
            torch.load(file)
        assert not Path("written").exists(), "torch.load ran the code of an archive: checkpoint.py says that it refuses"
    torch.jit.load("disguised.pt")
    assert Path("written").exists(), "the code of disguised.pt would not have run in any reader"


def disguise(script: Path, out: Path) -> None:
    """Writes a TorchScript archive whose zip has two directories. One, without
    constants.pkl, is for readers that look for it right before the end record. The other,
    the true one, is for readers that go where the end record says, as libtorch does."""
    plain = io.BytesIO()
    with zipfile.ZipFile(script) as old, zipfile.ZipFile(plain, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    data = plain.getvalue()
    end = data.rindex(b"PK\5\6")
    size, start = struct.unpack("<II", data[end + 12 : end + 20])
    shown = data[start : start + size].replace(b"constants.pkl", b"constantz.pkl")
    out.write_bytes(data[:end] + shown + data[end:])
