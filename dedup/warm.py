"""Runs every kernel once, so that workers find all of them compiled."""

from __future__ import annotations


def warm() -> None:
    """Compile every kernel for the argument types of a run; half a minute without a cache."""
    import json
    import tempfile
    from pathlib import Path

    import pyarrow as pa
    import pyarrow.parquet as pq

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
    with tempfile.TemporaryDirectory() as folder:
        # Changed lines of JSONL and documents with many shingles take kernels that others do not.
        Path(folder, "a.jsonl").write_text("".join(json.dumps({"text": text + " \r\n"}) + "\n" for text in texts))
        pq.write_table(pa.table({"text": [*texts, None]}), Path(folder, "b.parquet"))
        measured = [{"use": "clean.fix_text"}, {"use": "clean.normalize"}, {"use": "measure.gopher.quality"}]
        for name, steps in (("fast", measured), ("minhash", [])):
            near = {"dedup": "near", "scheme": name}
            run({"step": [*steps, near]}, folder, Path(folder, f"_{name}"), executor="serial")
