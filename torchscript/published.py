"""Weights that others publish, by name: their address, the digest of the right file, and
their licence."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import torchvision
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HTTPError
from huggingface_hub.utils import logging
from open_clip import pretrained

import checkpoint
import download
from archive import file_digest
from packages import cache_home

# OpenAI's names of its models (openai/CLIP, clip/clip.py), with open_clip's names of
# them.
OPENAI = {
    "RN50": "RN50",
    "RN101": "RN101",
    "RN50x4": "RN50x4",
    "RN50x16": "RN50x16",
    "RN50x64": "RN50x64",
    "ViT-B/32": "ViT-B-32",
    "ViT-B/16": "ViT-B-16",
    "ViT-L/14": "ViT-L-14",
    "ViT-L/14@336px": "ViT-L-14-336",
}


@dataclass(frozen=True)
class Published:
    """A published file. digest is its sha256 or the beginning of it, "" if its publisher
    names none."""

    address: str
    digest: str
    licence: str
    hub: tuple[str, str] | None = None  # repository and file on the Hugging Face hub, which has a client of its own

    @property
    def file(self) -> str:
        return PurePosixPath(self.address).name

    def fetch(self) -> Path:
        """Returns the file, in clipdet's cache or the hub's. Raises OSError if it can't
        be had."""
        if self.hub:
            return from_hub(*self.hub, self.address)
        return download.fetch(self.address, cache_home() / "weights" / self.file, self.digest)


def rpn(name: str) -> Published:
    """Returns torchvision's COCO_V1 weights of a detector. Their file names end in the
    beginning of the sha256."""
    address = torchvision.models.get_model_weights(name).COCO_V1.url
    licence = "BSD-3-Clause, as torchvision; trained on COCO, whose photos have their own terms"
    return Published(address, digest_in(address), licence)


def clip(name: str, tag: str) -> Published:
    """Returns the weights that open_clip lists for a model's name and a tag; "openai" are
    OpenAI's own.

    Raises ValueError, which lists the tags, if there are none of that name.
    """
    own = OPENAI.get(name, name.replace("/", "-"))
    known = pretrained.get_pretrained_cfg(own, tag)
    if not known:
        tags = ", ".join(pretrained.list_pretrained_tags_by_model(own)) or "none"
        why = f"no weights are published as {tag!r}" if tag else "its weights need a tag: give it with --pretrained"
        raise ValueError(f"{name}: {why}; tags: {tags}")
    if tag == "openai":
        return Published(known["url"], digest_in(known["url"]), "MIT")
    # If there are both, the hub has a copy, and the publisher's own file has a digest in
    # its name.
    if known.get("hf_hub") and not known.get("url"):
        repository, file = (known["hf_hub"].rsplit("/", 1) + [""])[:2]
        file = file or "open_clip_pytorch_model.bin"
        page = f"https://huggingface.co/{repository}"
        return Published(f"{page}/blob/main/{file}", "", f"see {page}", (repository, file))
    return Published(known["url"], digest_in(known["url"]), f"see its publisher: {known['url']}")


def digest_in(address: str) -> str:
    """Returns the sha256 in an address: all of it as a folder (OpenAI's), or its
    beginning after the name (torchvision's); "" if there is none."""
    whole = re.search(r"/([0-9a-f]{64})/", address)
    begun = re.search(r"-([0-9a-f]{8,64})\.\w+$", address)
    return whole[1] if whole else begun[1] if begun else ""


def from_hub(repository: str, file: str, address: str) -> Path:
    """Returns a file of the Hugging Face hub. The hub's client resumes and caches, and
    names large files by their sha256. What it caches is a link to the file of that name.

    Raises OSError, which names the address and says what to do, if the file can't be had
    or is another one, which is deleted.
    """
    said = logging.get_verbosity()
    logging.set_verbosity_error()  # the client warns twice of every attempt that fails
    try:
        path = Path(hf_hub_download(repository, file))
    except (OSError, HTTPError, RuntimeError) as error:
        why = checkpoint.first_line(error.__cause__ or error)
        raise OSError(f"{address}: {why}; {download.ADVICE}") from error
    finally:
        logging.set_verbosity(said)
    stored = path.resolve()
    digest = stored.name
    if re.fullmatch(r"[0-9a-f]{64}", digest) and file_digest(stored) != digest:
        path.unlink()
        stored.unlink(missing_ok=True)
        raise OSError(f"{address}: {stored} was damaged (its sha256 differs from its name) and is deleted: run again")
    return path
