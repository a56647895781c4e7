"""Puts an index of `clipdet index` into autofaiss, PostgreSQL with pgvector, and Qdrant's
engine, asks each for the regions nearest to some of its regions, and compares the answers
with numpy's. Each function is what an import takes.

    python3 -m venv venv
    venv/bin/pip install autofaiss==2.18.0 'pyarrow<20' duckdb pgserver==0.1.4 qdrant-edge-py==0.9.0
    venv/bin/python bench/export_index.py INDEX

pgserver has PostgreSQL 16 with pgvector 0.6, whose type is vector: from 0.7 on halfvec takes
half the space. qdrant-edge-py is Qdrant's storage and search in the process, without its
server. The index must have no tombstones: `clipdet index compact` removes them.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np

TOP = 10
ASKED = 5


def main() -> None:
    folder = Path(sys.argv[1])
    vectors = np.concatenate([np.load(path) for path in sorted(folder.glob("shard-*.npy"))])
    queries = vectors[:: len(vectors) // ASKED][:ASKED].astype(np.float32)
    cosine = queries @ vectors.astype(np.float32).T
    wrong = False
    for name, export in (("autofaiss", autofaiss), ("pgvector", pgvector), ("Qdrant", qdrant)):
        with tempfile.TemporaryDirectory() as scratch:
            found = np.array(export(folder, Path(scratch), queries))
        # Equal crops have equal cosines, so places may differ where cosines don't.
        best = -np.sort(-cosine, axis=1)[:, :TOP]
        same = np.abs(np.take_along_axis(cosine, found, axis=1) - best) < 1e-4
        print(f"{name}: {same.sum()} of {same.size} are numpy's")
        # autofaiss takes an approximate index, and pgvector computes in another order.
        wrong |= same.mean() < 0.95
    sys.exit(int(wrong))


def rows(folder: Path) -> Iterator[tuple[np.ndarray, tuple]]:
    """Gives each region's embedding, and its picture, number and box."""
    for path in sorted(folder.glob("shard-*.npy")):
        about = duckdb.read_parquet(str(path.with_suffix(".parquet")))
        yield from zip(np.load(path), about.project("picture, region, x0, y0, x1, y1").fetchall(), strict=True)


def autofaiss(folder: Path, scratch: Path, queries: np.ndarray) -> list[list[int]]:
    """It reads a folder that has the arrays alone, in the order of their names."""
    from autofaiss import build_index

    arrays = scratch / "arrays"
    arrays.mkdir()
    for path in folder.glob("shard-*.npy"):
        (arrays / path.name).symlink_to(path.resolve())
    index, _ = build_index(
        str(arrays),
        index_path=str(scratch / "knn.index"),
        index_infos_path=str(scratch / "infos.json"),
        metric_type="ip",
        max_index_memory_usage="1G",
        current_memory_available="2G",
        verbose=30,
    )
    return index.search(queries, TOP)[1].tolist()


def pgvector(folder: Path, scratch: Path, queries: np.ndarray) -> list[list[int]]:
    """COPY reads lines of tabs. <#> is the negative inner product, by which ORDER BY sorts."""
    import pgserver

    lines = scratch / "regions.tsv"
    with lines.open("w") as to:
        for i, (vector, (picture, region, *box)) in enumerate(rows(folder)):
            name = picture.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")
            fields = [str(i), name, str(region), "{" + ",".join(map(repr, box)) + "}", text(vector)]
            to.write("\t".join(fields) + "\n")
    width = queries.shape[1]
    database = pgserver.get_server(scratch / "database", cleanup_mode="stop")
    try:
        database.psql(f"""
            CREATE EXTENSION vector;
            CREATE TABLE regions (id bigint, picture text, region int, box real[], embedding vector({width}));
            \\copy regions FROM '{lines}'
        """)
        found = []
        for query in queries:
            asked = f"SELECT 'id', id FROM regions ORDER BY embedding <#> '{text(query)}' LIMIT {TOP};"
            answer = database.psql(asked).splitlines()
            found.append([int(line.split("|")[1]) for line in answer if line.strip().startswith("id ")])
        return found
    finally:
        database.cleanup()


def text(vector: np.ndarray) -> str:
    return "[" + ",".join(repr(float(value)) for value in vector) + "]"


def qdrant(folder: Path, scratch: Path, queries: np.ndarray) -> list[list[int]]:
    """A server takes the same points by its client's upload_points."""
    import qdrant_edge as edge

    params = edge.EdgeVectorParams(
        size=queries.shape[1], distance=edge.Distance.Dot, datatype=edge.VectorStorageDatatype.Float16
    )
    (scratch / "regions").mkdir()
    shard = edge.EdgeShard.create(str(scratch / "regions"), edge.EdgeConfig(vectors=params))
    points = []
    for i, (vector, (picture, region, *box)) in enumerate(rows(folder)):
        payload = {"picture": picture, "region": region, "box": box}
        points.append(edge.Point(i, vector.astype(np.float32).tolist(), payload))
    shard.update(edge.UpdateOperation.upsert_points(points))
    found = []
    for query in queries:
        asked = edge.QueryRequest(limit=TOP, query=edge.Query.Nearest(query.tolist()))
        found.append([point.id for point in shard.query(asked)])
    shard.close()
    return found


if __name__ == "__main__":
    main()
