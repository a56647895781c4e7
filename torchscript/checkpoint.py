"""Reads weights from a file without running anything in it: a state dict of torch.save, alone or in a training
checkpoint; a safetensors file; or a TorchScript archive, which is how OpenAI publishes CLIP."""

from __future__ import annotations

import io
import pickle
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

# Where training scripts keep the state dict beside their optimiser's: torchvision's and open_clip's.
NESTED = ("model", "state_dict")


def read(path: Path) -> dict[str, Tensor]:
    """The weights in a file, by name. Raises ValueError when it holds none."""
    if path.suffix == ".safetensors":
        try:
            return safetensors.torch.load_file(path)
        except safetensors.SafetensorError as error:
            raise ValueError(f"{path}: not a safetensors file: {error}") from error
    if is_torchscript(path):
        try:
            return torchscript(path)
        except (pickle.UnpicklingError, RuntimeError, LookupError, TypeError, ValueError, EOFError) as error:
            raise ValueError(f"{path}: an unreadable TorchScript archive: {first_line(error)}") from error
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "TypedStorage is deprecated")  # torch's own use of it
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        reason = f"not a file of torch.save that holds weights only: {first_line(error)}"
        raise ValueError(f"{path}: {reason}") from error
    for key in NESTED:
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"{path}: not a state dict; write one with torch.save(model.state_dict(), ...)")
    return {name.removeprefix("module."): value for name, value in state.items()}  # the prefix of distributed training


def first_line(error: Exception) -> str:
    """The first line of what an error says."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def is_torchscript(path: Path) -> bool:
    """Whether a file is what torch.jit.save writes: its zip has constants, which torch.save's lacks."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def torchscript(path: Path) -> dict[str, Tensor]:
    """The parameters and buffers of a TorchScript archive, by their dotted names. Its code is not even read."""
    reader = torch._C.PyTorchFileReader(str(path))
    module = Reader(reader).load()
    if not isinstance(module, Module):
        raise ValueError(f"it holds a {type(module).__name__} and no module")
    return dict(module.tensors(""))


class Module:
    """An object of a class that the archive defines: nothing but its attributes."""

    def __setstate__(self, state: object) -> None:
        self.attributes = state if isinstance(state, dict) else {}

    def tensors(self, prefix: str) -> Iterator[tuple[str, Tensor]]:
        """The tensors in it and in the modules in it, by their names after prefix."""
        for name, value in getattr(self, "attributes", {}).items():
            if isinstance(value, Tensor):
                yield prefix + name, value
            elif isinstance(value, Module):
                yield from value.tensors(f"{prefix}{name}.")


# Values of the storages that torch writes, by the names of their classes.
STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


class Reader(pickle.Unpickler):
    """Reads data.pkl of a TorchScript archive, and knows tensors, lists, and modules without their methods."""

    def __init__(self, reader: torch._C.PyTorchFileReader) -> None:
        super().__init__(io.BytesIO(reader.get_record("data.pkl")))
        self._reader = reader

    def find_class(self, module: str, name: str) -> object:
        if module.partition(".")[0] == "__torch__":
            return Module
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return view
        if module == "torch.jit._pickle":  # typed lists: build_intlist and the like
            return first
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no weights need")

    def persistent_load(self, pid: tuple) -> Tensor:
        """The values of a storage, in a row."""
        _, dtype, key, _, count = pid
        if count == 0:
            return torch.empty(0, dtype=dtype)
        values = torch.frombuffer(bytearray(self._reader.get_record(f"data/{key}")), dtype=dtype)
        if len(values) < count:
            raise ValueError(f"data/{key} has {len(values)} values of {count}")
        return values


def view(values: Tensor, offset: int, size: tuple, stride: tuple, *_: object) -> Tensor:
    """A tensor of a storage's values."""
    return values.as_strided(size, stride, offset)


def first(value: object, *_: object) -> object:
    return value


def misfit(error: RuntimeError) -> str:
    """What load_state_dict says, in one line: the first of the names or shapes that don't fit."""
    lines = [line.strip() for line in str(error).splitlines()[1:]]
    return (lines[0] if lines else first_line(error))[:300]
