"""Words as jieba cuts them, for benchmarks.refit; run by a Python that has jieba and pyarrow, not by ours.

python -I jieba.py IN.parquet OUT.parquet: `text` goes in, `words` comes out, row by row. FineWeb-2 cuts Chinese with
jieba behind spaCy; what is left of that is jieba's default cut, without white space.
"""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor

import jieba
import pyarrow as pa
import pyarrow.parquet as pq


def words(text: str | None) -> list[str]:
    """The words of one text."""
    return [word.strip() for word in jieba.cut(text or "") if word.strip()]


def main(source: str, target: str) -> None:
    """Cut every text of a file."""
    jieba.initialize()  # before the processes start, so that they read its dictionary from the cache
    texts = pq.read_table(source, columns=["text"])["text"].to_pylist()
    with ProcessPoolExecutor() as pool:
        lists = list(pool.map(words, texts, chunksize=200))
    column = pa.array(lists, pa.large_list(pa.large_string()))
    pq.write_table(pa.table({"words": column}), target, compression="zstd")


if __name__ == "__main__":
    main(*sys.argv[1:])
