"""The copies that runs are measured in: `python -m benchmarks.copying parquet|jsonl OUTPUT INPUT...`.

A copy reads every value and writes it again with the same codec, single-threaded, and does nothing else.
"""

from __future__ import annotations

import sys
from pathlib import Path


def copy_parquet(inputs: list[Path], output: Path) -> None:
    """Read and write row group by row group."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    for path in inputs:
        with (
            pq.ParquetFile(path, pre_buffer=False) as file,
            pq.ParquetWriter(output / path.name, file.schema_arrow, compression="zstd", compression_level=3) as writer,
        ):
            for group in range(file.num_row_groups):
                writer.write_table(file.read_row_group(group, use_threads=False))


def copy_jsonl(inputs: list[Path], output: Path) -> None:
    """Read lines, parse each, write the same bytes."""
    import io

    import orjson
    import zstandard

    for path in inputs:
        with (
            open(path, "rb") as raw,
            open(output / path.name, "wb") as out,
            zstandard.ZstdCompressor(level=3).stream_writer(out, closefd=False) as sink,
        ):
            source = zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True)
            for line in io.BufferedReader(source, 1 << 20):
                orjson.loads(line)
                sink.write(line)


if __name__ == "__main__":
    copies = {"parquet": copy_parquet, "jsonl": copy_jsonl}
    copies[sys.argv[1]]([Path(path) for path in sys.argv[3:]], Path(sys.argv[2]))
