"""Runs every kernel once, so that workers find all of them compiled."""

from __future__ import annotations


def warm() -> None:
    """Compile every kernel for the argument types of a run; half a minute without a cache."""
    import tempfile
    from pathlib import Path

    import pyarrow as pa
    import pyarrow.parquet as pq

    from dedup import clean
    from dedup.measure import gopher
    from dedup.runner.driver import run

    words = [f"word{i}" for i in range(400)]
    long = " ".join(words)
    texts = [
        long,
        long + " tail",
        "one two three four five six",
        "one two three four five six seven",
        "caf\u00e9 \u4e2d\u6587",
    ]
    batch = pa.record_batch({"text": pa.array(texts, pa.large_string())})
    gopher.quality(clean.normalize(clean.fix_text(batch)))
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "warm.parquet")
        pq.write_table(pa.table({"text": texts}), source)
        for scheme in ("fast", "minhash"):
            step = {"dedup": "near", "scheme": scheme}
            run({"step": [step]}, str(source), Path(folder, scheme), executor="serial")
