"""Words put together again, with a space between them."""

from __future__ import annotations

from dedup.kernels.compile import kernel


@kernel
def join_words(offsets, base, starts, ends, data, out_offsets, out):
    """Write the words of each row with a space after every one.

    offsets       int64[n + 1]   words of row i are offsets[i] to offsets[i + 1]
    base          int64[n]; starts, ends int32[...]; data uint8[...]   as in `segment.Words`; read-only
    out_offsets   int64[n + 1]   overwritten
    out           uint8[...]     overwritten; as many bytes as the words have, and one a word
    """
    at = 0
    out_offsets[0] = 0
    for i in range(base.size):
        for j in range(offsets[i], offsets[i + 1]):
            for k in range(base[i] + starts[j], base[i] + ends[j]):
                out[at] = data[k]
                at += 1
            out[at] = 0x20
            at += 1
        out_offsets[i + 1] = at
