"""Packing of signature records: a signature, or the shingles of a document that has few."""

from __future__ import annotations

from dedup.kernels.compile import kernel
from dedup.kernels.sketch import SMALL


@kernel
def pack_records(signatures, small, counts, begins, out):
    """Write each document's record.

    signatures   uint8[n, s], small uint8[n, 8 * SMALL], counts int32[n]
    begins       int64[n + 1]   record i is out[begins[i]:begins[i + 1]]
    out          uint8[begins[n]]
    """
    # Two loops, though they say the same twice: a source chosen first is copied byte by byte, 9 times slower.
    for i in range(counts.size):
        begin = begins[i]
        if counts[i] < SMALL:
            for j in range(8 * counts[i]):
                out[begin + j] = small[i, j]
        else:
            for j in range(signatures.shape[1]):
                out[begin + j] = signatures[i, j]


@kernel
def unpack_records(data, begins, counts, signatures, small):
    """Read records back into rows of `signatures` or `small`; record i begins at data[begins[i]]."""
    for i in range(counts.size):
        if counts[i] < SMALL:
            for j in range(8 * counts[i]):
                small[i, j] = data[begins[i] + j]
        else:
            for j in range(signatures.shape[1]):
                signatures[i, j] = data[begins[i] + j]


@kernel
def find_records(counts, signature_bytes, documents, begins):
    """Where the records of some documents begin and the last of them ends.

    counts      uint8[n]       of all documents of a file
    documents   int64[m]       ascending
    begins      int64[m + 1]
    """
    at = 0
    document = 0
    for i in range(documents.size):
        while document < documents[i]:
            at += 8 * counts[document] if counts[document] < SMALL else signature_bytes
            document += 1
        begins[i] = at
    if documents.size:
        at += 8 * counts[document] if counts[document] < SMALL else signature_bytes
    begins[documents.size] = at
