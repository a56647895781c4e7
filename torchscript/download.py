"""Downloads published weights over HTTP. It continues an interrupted download, and checks
a file before it is used."""

from __future__ import annotations

import http.client
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path

from tqdm import tqdm

from archive import file_digest

ATTEMPTS = 5  # in a row that bring no byte
CHUNK = 1 << 20
ADVICE = (
    "run the same command again to continue, or fetch the file elsewhere and give it with --checkpoint "
    "(of all: --clip-checkpoint, --rpn-checkpoint)"
)


def fetch(address: str, target: Path, digest: str) -> Path:
    """Downloads the file at an address to target, unless it is there already, and returns
    target. The file's sha256 must begin with digest.

    An interrupted run leaves its bytes beside it as *.part, and the next run continues
    there. Raises OSError, which says what to do, if the file can't be had or is another
    one.
    """
    if target.exists() and file_digest(target).startswith(digest):
        return target
    part = target.with_name(target.name + ".part")
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        receive(address, part)
    except (OSError, http.client.HTTPException) as error:
        raise OSError(f"{address}: {error}; {ADVICE}") from error
    found = file_digest(part)
    if not found.startswith(digest):
        part.unlink()
        raise OSError(f"{address}: its sha256 is {found}, not {digest}...: another file than was published; deleted")
    os.replace(part, target)
    return target


def receive(address: str, part: Path) -> None:
    """Appends to part the bytes of the file at an address that it lacks, with a progress
    bar on stderr."""
    failures = 0
    while True:
        have = part.stat().st_size if part.exists() else 0
        try:
            if receive_from(address, part, have):
                return
            problem: Exception = ConnectionError("the connection was closed before the end")
        except urllib.error.HTTPError as error:
            if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and have:
                return  # all of it is there, if the digest is right
            raise
        except (OSError, http.client.HTTPException) as error:
            problem = error
        failures = failures + 1 if not part.exists() or part.stat().st_size <= have else 0
        if failures == ATTEMPTS:
            raise problem


def receive_from(address: str, part: Path, have: int) -> bool:
    """Makes one request, from the byte have on. Returns whether it reached the end."""
    request = urllib.request.Request(address, headers={"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(request, timeout=60) as answer:
        if answer.status != http.HTTPStatus.PARTIAL_CONTENT:
            have = 0  # the server sends the whole file
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length else None
        bar = tqdm(
            total=total,
            initial=have,
            unit="B",
            unit_scale=True,
            desc=part.stem,
            file=sys.stderr,
            disable=None,
            ncols=80,
        )
        with bar, part.open("ab" if have else "wb") as file:
            while chunk := answer.read(CHUNK):
                file.write(chunk)
                have += len(chunk)
                bar.update(len(chunk))
    return total is None or have >= total
