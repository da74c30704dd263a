"""Unaligned eight-byte loads and bit counts, which Numba has no name for.

Reading eight bytes at once is what makes the scanning kernels fast: a word of English is one or two loads
instead of a branch a byte (tokenizing: 8.0 -> 3.4 ns a byte on English).
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.core.extending import intrinsic

# Masks for the eight bytes of a word.
HIGH = np.uint64(0x8080808080808080)
LOW = np.uint64(0x7F7F7F7F7F7F7F7F)
ONES = np.uint64(0x0101010101010101)
SPACES = np.uint64(0x2020202020202020)  # set, they make ASCII letters lower case


@intrinsic
def load8(typingctx, data, at):
    """The uint64 whose lowest byte is data[at]; the caller makes sure that data has at + 8 bytes."""
    if not isinstance(data, types.Array) or data.dtype != types.uint8:
        return None

    def codegen(context, builder, signature, arguments):
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        pointer = builder.gep(array.data, [arguments[1]])
        return builder.load(builder.bitcast(pointer, ir.IntType(64).as_pointer()), align=1, typ=ir.IntType(64))

    return types.uint64(data, at), codegen


@intrinsic
def trailing_zeros(typingctx, x):
    """Number of zero bits below the lowest one of a uint64; 64 for 0."""

    def codegen(context, builder, signature, arguments):
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.uint64(types.uint64), codegen
