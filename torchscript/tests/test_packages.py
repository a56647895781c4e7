"""Fetching without a registry: a package that is not the pinned one is refused."""

import hashlib
import os
from pathlib import Path

import pytest

import packages


def test_cache_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CLIPDET_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert packages.cache_home() == tmp_path / "cache" / "clipdet"
    monkeypatch.setenv("CLIPDET_HOME", str(tmp_path / "home"))
    assert packages.cache_home() == tmp_path / "home"


def test_another_package_than_pinned_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def other(_: packages.Source, scratch: Path) -> Path:
        path = scratch / "package.tgz"
        path.write_bytes(b"something else")
        return path

    monkeypatch.setattr(packages, "_download", other)
    with pytest.raises(OSError, match=hashlib.sha256(b"something else").hexdigest()):
        packages.fetch("twemoji", tmp_path)
    assert not list(tmp_path.iterdir()), "a refused package was left in the cache"


def test_why_a_client_failed_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    npm = tmp_path / "npm"  # npm 11 without a network
    npm.write_text("""#!/bin/sh
case "$*" in *silent*) exit 1 ;; esac
printf 'npm error code ECONNREFUSED\\nnpm error syscall connect\\nnpm error errno ECONNREFUSED\\n' >&2
printf 'npm error FetchError: request failed, reason: connect ECONNREFUSED\\nnpm error     at emit (x.js:1:2)\\n' >&2
exit 1
""")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(OSError, match=r"npm pack .*@twemoji/svg.* failed: .*; .*reason: connect ECONNREFUSED$"):
        packages.fetch("twemoji", tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())
