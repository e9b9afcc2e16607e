"""bench-search.py WAY DATA: another library's search on the data of `chaski-bench search`.

WAY is faiss-flat, faiss-hnsw or sqlite. DATA holds vectors.f32 and queries.f32 (unit vectors),
texts.txt and query-texts.txt (one a line), and shape.json. Prints what it measured as JSON; times
are of one thread, one query at a time. Needs numpy, and faiss-cpu or sqlite-vec; and pysqlite3-binary
where Python's own SQLite cannot load extensions.
"""

import json
import re
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

try:
    import pysqlite3 as sqlite3
except ImportError:
    import sqlite3

way, data = sys.argv[1], Path(sys.argv[2])
shape = json.loads((data / "shape.json").read_text())
dimension, k = shape["dimension"], shape["k"]
vectors = np.fromfile(data / "vectors.f32", dtype="<f4").reshape(-1, dimension)
queries = np.fromfile(data / "queries.f32", dtype="<f4").reshape(-1, dimension)


def resident():
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1000
    return 0.0


def timed(kind, search):
    times, found = [], []
    for number in range(len(queries)):
        began = time.perf_counter()
        found.append([int(position) for position in search(number)])
        times.append((time.perf_counter() - began) * 1000)
    return {"kind": kind, "times_ms": times, "found": found}


def with_faiss(make, describe):
    import faiss

    faiss.omp_set_num_threads(1)
    before = resident()
    index = make(faiss)
    began = time.perf_counter()
    index.add(vectors)
    built = time.perf_counter() - began
    memory = resident() - before
    tenth = faiss.IDSelectorArray(np.arange(3, len(vectors), 10))
    filtered = (
        faiss.SearchParametersHNSW(sel=tenth, efSearch=index.hnsw.efSearch)
        if hasattr(index, "hnsw")
        else faiss.SearchParameters(sel=tenth)
    )

    def search(number, **rest):
        _, positions = index.search(queries[number : number + 1], k, **rest)
        return [position for position in positions[0] if position >= 0]

    rows = [
        timed("vector", search),
        timed("vector, one in ten", lambda number: search(number, params=filtered)),
    ]
    with tempfile.TemporaryDirectory(dir=data) as folder:
        path = str(Path(folder) / "index.faiss")
        faiss.write_index(index, path)
        began = time.perf_counter()
        faiss.read_index(path)
        opened = time.perf_counter() - began
    return {"way": f"faiss {faiss.__version__}, {describe}", "built": built, "memory": memory, "opened": opened, "rows": rows}


def flat():
    return with_faiss(lambda faiss: faiss.IndexFlatIP(dimension), "flat")


def hnsw():
    def make(faiss):
        index = faiss.IndexHNSWFlat(dimension, 32, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = 80
        index.hnsw.efSearch = 64
        return index

    return with_faiss(make, "HNSW, M 32, ef 80 and 64")


def sqlite():
    import sqlite_vec

    texts = (data / "texts.txt").read_text().splitlines()
    words = [
        " OR ".join(f'"{word}"' for word in re.findall(r"\w+", line))
        for line in (data / "query-texts.txt").read_text().splitlines()
    ]
    folder = tempfile.TemporaryDirectory(dir=data)
    path = Path(folder.name) / "index.db"

    def connect():
        database = sqlite3.connect(path)
        database.enable_load_extension(True)
        sqlite_vec.load(database)
        return database

    before = resident()
    database = connect()
    database.executescript(
        f"""PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
        CREATE VIRTUAL TABLE vectors USING vec0(
            tenth INTEGER, vector FLOAT[{dimension}] distance_metric=cosine);
        CREATE VIRTUAL TABLE texts USING fts5(text, tokenize = 'porter unicode61');"""
    )
    began = time.perf_counter()
    for start in range(0, len(vectors), 1000):
        end = min(start + 1000, len(vectors))
        rows = range(start, end)
        with database:
            database.executemany(
                "INSERT INTO vectors (rowid, tenth, vector) VALUES (?, ?, ?)",
                [(row, row % 10, vectors[row].tobytes()) for row in rows],
            )
            database.executemany(
                "INSERT INTO texts (rowid, text) VALUES (?, ?)", [(row, texts[row]) for row in rows]
            )
    built = time.perf_counter() - began
    memory = resident() - before
    database.close()
    began = time.perf_counter()
    database = connect()
    database.execute("SELECT count(*) FROM vectors").fetchone()
    opened = time.perf_counter() - began

    def by_vector(number, limit, condition=""):
        statement = f"SELECT rowid FROM vectors WHERE vector MATCH ? AND k = ?{condition} ORDER BY distance"
        return [row for (row,) in database.execute(statement, (queries[number].tobytes(), limit))]

    def by_word(number, limit):
        statement = "SELECT rowid FROM texts WHERE texts MATCH ? ORDER BY rank LIMIT ?"
        return [row for (row,) in database.execute(statement, (words[number], limit))]

    def both(number):
        scores = {}
        for found in (by_vector(number, 100), by_word(number, 100)):
            for rank, row in enumerate(found, 1):
                scores[row] = scores.get(row, 0.0) + 1 / (60 + rank)
        return sorted(scores, key=lambda row: (-scores[row], row))[:k]

    rows = [
        timed("vector", lambda number: by_vector(number, k)),
        timed("vector, one in ten", lambda number: by_vector(number, k, " AND tenth = 3")),
        timed("keyword", lambda number: by_word(number, k)),
        timed("hybrid", both),
    ]
    folder.cleanup()
    return {
        "way": f"sqlite-vec {sqlite_vec.__version__} with FTS5",
        "built": built,
        "memory": memory,
        "opened": opened,
        "rows": rows,
    }


print(json.dumps({"faiss-flat": flat, "faiss-hnsw": hnsw, "sqlite": sqlite}[way]()))
