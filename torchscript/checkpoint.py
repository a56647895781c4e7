"""Reads what torch.save, torch.jit.save and safetensors wrote, without running anything
in it.

torch.load and torch.jit.load don't do. OpenAI publishes CLIP in TorchScript: torch.load
refuses it with weights_only, and torch.jit.load runs the code of an archive. With other
files torch.load could run code before torch 2.6 (CVE-2025-32434) and corrupt memory
before 2.10 (CVE-2026-24747). So the unpickler here makes only plain data, with
descriptions in place of tensors, and with nothing but their names in place of objects of
other classes.
"""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import safetensors
import safetensors.torch
import torch
from torch import Tensor

# The keys under which training scripts save the state dict, beside the optimiser's:
# torchvision's and open_clip's.
NESTED = ("model", "state_dict")

# How a file of torch.save begins before torch 1.6 (torch/serialization.py). Since 1.6 it
# is a zip.
OLD_MAGIC, OLD_PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
ZIP_MAGIC = b"PK\3\4"


def read(path: Path) -> dict[str, Tensor]:
    """Returns the weights in a file, by name. The file is a state dict, alone or in a
    training checkpoint; a safetensors file; or a TorchScript archive, as OpenAI publishes
    CLIP. Raises ValueError if it holds no weights."""
    if path.suffix == ".safetensors":
        try:
            return safetensors.torch.load_file(path)
        except safetensors.SafetensorError as error:
            raise ValueError(f"{path}: not a safetensors file: {error}") from error
    state = contents(path)
    for key in NESTED:
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    refuse_others(path, state)
    if not isinstance(state, dict) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"{path}: not a state dict; write one with torch.save(model.state_dict(), ...)")
    return {str(name).removeprefix("module."): value for name, value in state.items()}  # distributed training's prefix


def load(path: Path) -> object:
    """Returns what a file of torch.save holds, with its tensors on the CPU. Of a
    TorchScript archive it returns the parameters and buffers by their dotted names.
    Raises ValueError if it is no such file, or holds anything but plain data and
    tensors."""
    what = contents(path)
    refuse_others(path, what)
    return what


def contents(path: Path) -> object:
    """Returns what load does, with an Other in place of each object of another class.
    Training scripts put such ones beside the weights, for example their arguments."""
    with open(path, "rb") as file:
        zipped = file.read(len(ZIP_MAGIC)) == ZIP_MAGIC
        file.seek(0)
        try:
            return from_zip(file) if zipped else from_old(file)
        except Exception as error:  # on broken bytes pickle and zipfile raise errors of any type
            raise ValueError(f"{path}: not a file of weights: {first_line(error)}") from error


def from_zip(file: BinaryIO) -> object:
    """Reads a zip. The pickle is data.pkl in its only folder, and every storage is a file
    in data/ beside it."""
    with zipfile.ZipFile(file) as archive:
        pickles = [name for name in archive.namelist() if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise ValueError(f"its zip has {len(pickles)} data.pkl")
        folder = pickles[0].removesuffix("data.pkl")
        if folder + "byteorder" in archive.namelist() and archive.read(folder + "byteorder") != b"little":
            raise ValueError("its values are not little-endian")
        reader = Unpickler(io.BytesIO(archive.read(pickles[0])))
        what = reader.load()
        if isinstance(what, Module):
            what = dict(what.tensors(""))
        return with_tensors(
            what, {key: storage.tensor(archive.read(f"{folder}data/{key}")) for key, storage in reader.storages.items()}
        )


def from_old(file: BinaryIO) -> object:
    """Reads a file from before the zips: pickles in a row, of the magic number, the
    protocol, the system, the data and the keys of the storages. Then, for each key, comes
    the number of its values, and the values."""
    magic, protocol, system = (Unpickler(file).load() for _ in range(3))
    if magic != OLD_MAGIC or protocol != OLD_PROTOCOL:
        raise ValueError("neither a zip nor of torch.save before it wrote zips")
    if not system["little_endian"]:
        raise ValueError("its values are not little-endian")
    reader = Unpickler(file)
    what, values = reader.load(), {}
    for key in Unpickler(file).load():
        (count,) = struct.unpack("<q", file.read(8))
        storage = reader.storages[key]
        if count != storage.count:
            raise ValueError(f"storage {key} has {count} values of {storage.count}")
        values[key] = storage.tensor(file.read(count * storage.dtype.itemsize))
    return with_tensors(what, values)


def with_tensors(what: object, values: dict[str, Tensor]) -> object:
    """Returns plain data with tensors in place of their descriptions. values are the
    storages' values by key."""
    if isinstance(what, View):
        return values[what.storage.key].as_strided(what.size, what.stride, what.offset)
    if isinstance(what, dict):
        return {key: with_tensors(value, values) for key, value in what.items()}
    if isinstance(what, list | tuple):
        return type(what)(with_tensors(value, values) for value in what)
    return what


def refuse_others(path: Path, what: object) -> None:
    """Raises ValueError, which names the class, if plain data holds an object of another
    class, or a class or function itself."""
    if isinstance(what, Other) or (isinstance(what, type) and issubclass(what, Other)):
        asked = what.asked[:200].encode("unicode_escape").decode()
        raise ValueError(
            f"{path}: not a file of weights: it asks for {asked}, which no weights need; "
            "write one with torch.save(model.state_dict(), ...)"
        )
    inside = what.values() if isinstance(what, dict) else what if isinstance(what, list | tuple) else ()
    for value in inside:
        refuse_others(path, value)


def first_line(error: Exception) -> str:
    """Returns the first line of an error's text."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


class Module:
    """An object of a class that a TorchScript archive defines: only its attributes."""

    def __setstate__(self, state: object) -> None:
        self.attributes = state if isinstance(state, dict) else {}

    def tensors(self, prefix: str) -> Iterator[tuple[str, View]]:
        """Yields the tensors in it and in the modules in it, by their names after
        prefix."""
        for name, value in getattr(self, "attributes", {}).items():
            if isinstance(value, View):
                yield prefix + name, value
            elif isinstance(value, Module):
                yield from value.tensors(f"{prefix}{name}.")


class Other:
    """An object of a class that no weights need. It is inert: whatever a pickle gives it is
    dropped, and no code of the class is run, imported or looked for."""

    asked = ""  # the class's name in the pickle

    def __new__(cls, *_: object, **__: object) -> Other:
        return super().__new__(cls)

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __setstate__(self, _: object) -> None:
        pass

    # A pickle calls these for classes that are lists or dicts too.
    def append(self, _: object) -> None:
        pass

    def __setitem__(self, _: object, __: object) -> None:
        pass


@dataclass
class Storage:
    """A pickle's description of values in a row."""

    dtype: torch.dtype
    key: str
    count: int

    def tensor(self, data: bytes) -> Tensor:
        """Returns the values, from the storage's bytes."""
        if self.count == 0:
            return torch.empty(0, dtype=self.dtype)
        there = len(data) // self.dtype.itemsize
        if not 0 < self.count <= there:
            raise ValueError(f"storage {self.key} has {there} values of {self.count}")
        return torch.frombuffer(bytearray(data), dtype=self.dtype, count=self.count)


@dataclass
class View:
    """A pickle's description of a tensor."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


# The types of the storages that torch writes, by the names of their classes.
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


class Unpickler(pickle.Unpickler):
    """Reads plain data, tensors, and modules without their methods. Everything else becomes
    an Other."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, encoding="utf-8")  # for Python 2's strings
        self.storages: dict[str, Storage] = {}

    def find_class(self, module: str, name: str) -> object:
        if module.partition(".")[0] == "__torch__":
            return Module
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        if (module, name) in KNOWN:
            return KNOWN[module, name]
        if module == "torch.jit._pickle":  # typed lists: build_intlist and the like
            return first
        return type("Other", (Other,), {"asked": f"{module}.{name}"})

    def persistent_load(self, pid: tuple) -> Storage | type:
        kind, dtype, *rest = pid
        if kind == "module" and isinstance(dtype, type):  # in old files: a module's class, with its source
            return dtype
        if not isinstance(dtype, torch.dtype):
            raise pickle.UnpicklingError(f"it asks for {getattr(dtype, 'asked', dtype)}, which no weights need")
        key, _, count, *part = rest
        if kind != "storage" or any(part):  # before torch 0.4: a part of a storage
            raise pickle.UnpicklingError(f"it refers to a {kind} in a way that no weights need")
        storage = Storage(dtype, key, count)
        if self.storages.setdefault(key, storage) != storage:
            raise pickle.UnpicklingError(f"it describes storage {key} twice")
        return storage


def view(storage: Storage, offset: int, size: tuple, stride: tuple, *_: object) -> View:
    return View(storage, offset, size, stride)


def first(value: object, *_: object) -> object:
    return value


# What pickles of weights call, and what the unpickler calls instead.
KNOWN = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch", "Size"): tuple,
    ("torch._utils", "_rebuild_parameter"): first,
    ("torch._utils", "_rebuild_tensor"): view,
    ("torch._utils", "_rebuild_tensor_v2"): view,
}


@contextmanager
def of(part: str, path: Path) -> Iterator[None]:
    """Says of what fails inside that path is no checkpoint of the training's part: raises
    ValueError, which names the file, the script and export.py's option."""
    try:
        yield
    except (KeyError, TypeError, RuntimeError) as error:
        why = f"it has no {error}" if isinstance(error, KeyError) else misfit(error)
        raise ValueError(f"--{part} {path}: not a checkpoint of train_{part}.py: {why}") from error


def misfit(error: Exception) -> str:
    """Returns the first of the names or shapes that don't fit, from load_state_dict's
    error, in one line."""
    lines = [line.strip() for line in str(error).splitlines()[1:]]
    return (lines[0] if lines else first_line(error))[:300]
