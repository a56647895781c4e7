"""Reads an index of `clipdet index` with numpy and DuckDB, and compares what they read with
what `clipdet search` found in it.

    clipdet search --index INDEX -q NAME... --format jsonl | python bench/read_index.py INDEX
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import duckdb
import numpy as np

COLUMNS = ["picture", "region", "x0", "y0", "x1", "y1", "objectness", "width", "height", "bytes", "modified", "sha256"]


def main() -> None:
    folder = Path(sys.argv[1])
    hits = [json.loads(line) for line in sys.stdin]
    assert hits, "no hit to compare"
    found = 0
    for manifest in sorted(folder.glob("shard-*.json")):
        about = json.loads(manifest.read_text())
        vectors = np.load(manifest.with_suffix(".npy"), mmap_mode="r")
        rows = duckdb.read_parquet(str(manifest.with_suffix(".parquet")))
        assert vectors.dtype == np.float16, vectors.dtype
        assert vectors.flags.c_contiguous, "not in C order"
        assert vectors.shape == (about["regions"], about["made"]["width"]), vectors.shape
        lengths = np.linalg.norm(vectors.astype(np.float32), axis=1)
        assert np.abs(lengths - 1).max() < 2e-3, lengths
        assert rows.columns == COLUMNS, rows.columns
        everything = rows.fetchall()
        assert len(everything) == len(vectors), len(everything)
        for kind in ("npy", "parquet"):
            data = manifest.with_suffix(f".{kind}").read_bytes()
            assert about[kind] == {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}, kind
        by_region = {row[:2]: dict(zip(COLUMNS, row, strict=True)) for row in everything}
        for picture, size, digest in {(row[0], row[9], row[11]) for row in everything}:
            data = Path(picture).read_bytes()
            assert (size, digest) == (len(data), hashlib.sha256(data).hexdigest()), picture
        for hit in hits:
            if row := by_region.get((hit["image"], hit["region"])):
                found += 1
                assert [row[name] for name in ("x0", "y0", "x1", "y1")] == [float(np.float32(v)) for v in hit["box"]], (
                    hit
                )
                assert (row["width"], row["height"]) == (hit["width"], hit["height"]), hit
                assert row["objectness"] == float(np.float32(hit["objectness"])), hit
    assert found == len(hits), f"{found} of {len(hits)} hits are in the files"
    print(f"numpy and DuckDB read the {found} hits of the search")


if __name__ == "__main__":
    main()
