"""Writes or checks cmd/clipdet/THIRD_PARTY.md: what clipdet is built on, and under which
licences.

    python .ci/third_party.py SBOM.json [--write]

The page lists the Go modules of a CycloneDX SBOM of the command and the others of go.mod,
the libraries that setup-libtorch.sh fetches, the Python packages of
torchscript/requirements.txt as installed, and the data of torchscript/packages.py. A part
without a known licence is an error.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "torchscript"))

import packages  # noqa: E402 # the folder is on the path only now

PAGE = ROOT / "cmd" / "clipdet" / "THIRD_PARTY.md"
GENERATED = "<!-- from here on by .ci/third_party.py -->\n"

# SPDX's names for the licences that packages name.
SPDX = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD": "BSD-3-Clause",
    "BSD License": "BSD-3-Clause",
    "BSD-3": "BSD-3-Clause",
    "FreeBSD": "BSD-2-Clause",
    "LicenseRef-NVIDIA-Proprietary": "NVIDIA's",
    "MIT License": "MIT",
    "NVIDIA Proprietary Software": "NVIDIA's",
}
# The licences in licence files, if the packages' own fields name none or another.
# cuda-toolkit contains only the names of NVIDIA's other packages, and no licence.
READ = {"clip-anytorch": "MIT", "cuda-toolkit": "NVIDIA's", "open-clip-torch": "MIT", "resvg-py": "MIT"}
# The licences that wheels name, of libraries that aren't under NVIDIA's terms.
FREE_LIBRARIES = {"torch": "BSD-3-Clause", "nvidia_nvtx": "Apache-2.0"}
# The licences of Go modules that are not in the command's SBOM, since it links none of
# their code.
UNLINKED = {
    "github.com/disintegration/imaging": "MIT",
    "github.com/inconshreveable/mousetrap": "Apache-2.0",
    "github.com/santhosh-tekuri/jsonschema/v6": "Apache-2.0",
}
# cyclonedx-gomod mistakes the text of Go's BSD-3-Clause for this similar licence, and of
# the two that go-text/typesetting lets one choose from it names one.
MISREAD = {"BSD-Source-Code": "BSD-3-Clause", "Unlicense": "Unlicense OR BSD-3-Clause"}
KNOWN = {
    "Apache-2.0",
    "Apache-2.0 AND CNRI-Python",
    "Apache-2.0 OR BSD-2-Clause",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSD-3-Clause AND 0BSD AND MIT AND Zlib AND CC0-1.0",
    "CC-BY-4.0",
    "MIT",
    "MIT-CMU",
    "MPL-2.0",
    "MPL-2.0 AND MIT",
    "NVIDIA's",
    "OFL-1.1",
    "PSF-2.0",
    "Unlicense OR BSD-3-Clause",
    "WordNet-3.0",
}


def modules(sbom: Path) -> Iterator[tuple[str, str, str]]:
    """Yields the Go modules in the command, with their versions and licences. Raises
    ValueError if the file is no SBOM or lacks gotch."""
    described = json.loads(sbom.read_text())
    if described.get("bomFormat") != "CycloneDX":
        raise ValueError(f"{sbom}: no CycloneDX SBOM")
    found = {part["name"]: part for part in described["components"]}
    if "github.com/sugarme/gotch" not in found:
        raise ValueError(f"{sbom}: gotch is not among its {len(found)} components")
    for name, part in sorted(found.items()):
        licences = part.get("evidence", {}).get("licenses", [])
        said = [licence["license"].get("id", "") for licence in licences]
        yield name, part["version"], " AND ".join(MISREAD.get(one, one) for one in said)


def unlinked(sbom: Path) -> Iterator[tuple[str, str, str]]:
    """Yields the modules of go.mod that aren't in the command: modules of tests, and of
    other systems."""
    linked = {name for name, _, _ in modules(sbom)}
    for name, version in re.findall(r"^\t([\w./-]+) (v[\w.-]+)", (ROOT / "go.mod").read_text(), re.MULTILINE):
        if name not in linked:
            yield name, version, UNLINKED.get(name, "")


def libraries() -> Iterator[tuple[str, str, str]]:
    """Yields the wheels from which setup-libtorch.sh takes libraries. They are the same
    for each kind of machine."""
    wheels = re.findall(
        r'^  "([\w.]+)-([\w.]+)-\w+-\w+-[\w.]+\.whl ', (ROOT / "setup-libtorch.sh").read_text(), re.MULTILINE
    )
    for name, version in dict.fromkeys(wheels):
        yield name.replace("_", "-"), version, FREE_LIBRARIES.get(name, "NVIDIA's")


def python() -> Iterator[tuple[str, str, str]]:
    """Yields the pinned Python packages, and the licences that they name where they are
    installed."""
    pinned = re.findall(
        r"^([\w.-]+)==([\w.+-]+)", (ROOT / "torchscript" / "requirements.txt").read_text(), re.MULTILINE
    )
    for name, version in pinned:
        yield name, version, READ.get(name) or own_word(metadata.metadata(name))


def own_word(about: metadata.PackageMetadata) -> str:
    """Returns SPDX's name of the licence in a package's fields, the newest field first,
    or ""."""
    classes = [
        text.rpartition(" :: ")[2] for text in about.get_all("Classifier") or [] if text.startswith("License ::")
    ]
    for said in (about.get("License-Expression"), about.get("License"), *classes):
        if said and SPDX.get(said, said) in KNOWN:
            return SPDX.get(said, said)
    return ""


def data() -> Iterator[tuple[str, str, str]]:
    """Yields the packages from which the built-in models learnt, or by which they are
    judged."""
    for source in packages.SOURCES.values():
        yield f"{source.package} ({source.client}): {source.attribution}", source.version, source.licence


def table(title: str, text: str, rows: Iterator[tuple[str, str, str]]) -> str:
    lines = [f"\n## {title}\n{text}\n\n| what | version | licence |\n|---|---|---|\n"]
    for name, version, licence in rows:
        if licence not in KNOWN:
            raise ValueError(f"{name} {version}: its licence is unknown ({licence or 'none is named'})")
        lines.append(f"| {name} | {version} | {licence} |\n")
    return "".join(lines)


def page(sbom: Path) -> str:
    """Returns the generated part of the page."""
    return (
        table("Go modules that are linked into the command", "All of their code is compiled in.", modules(sbom))
        + table(
            "Go modules of tests, and of other systems",
            "`go.mod` names them; none of their code is in the command.",
            unlinked(sbom),
        )
        + table(
            "Libraries that setup-libtorch.sh fetches",
            "Linked at run time, and not in this repository; the first three in the CPU variant, all in the CUDA one.",
            libraries(),
        )
        + table(
            "Python packages of the exports, the training and the tests",
            "Not needed at run time. Versions and hashes are in `torchscript/requirements.txt`.",
            python(),
        )
        + table(
            "Data that the built-in models learnt from, or are judged by",
            "Fetched by `torchscript/packages.py`, by sha256; the model card says which served for what.",
            data(),
        )
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sbom", type=Path)
    parser.add_argument("--write", action="store_true", help="write the page instead of checking it")
    arguments = parser.parse_args()
    try:
        made = page(arguments.sbom)
    except (ValueError, metadata.PackageNotFoundError) as error:
        print(f"third_party.py: {error}", file=sys.stderr)
        return 1
    by_hand, mark, there = PAGE.read_text().partition(GENERATED)
    if arguments.write:
        PAGE.write_text(by_hand + GENERATED + made)
    elif not mark or there != made:
        for line in sorted(set(there.splitlines()) ^ set(made.splitlines())):
            print(f"{'+' if line in made else '-'} {line}", file=sys.stderr)
        print(f"third_party.py: {PAGE.relative_to(ROOT)} is out of date: run this again with --write", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
