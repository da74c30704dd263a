"""Sixty-four bytes at once: one bit for each byte at which one of a few short patterns begins.

LLVM makes a handful of vector instructions of a pattern, whatever the CPU has, and the loops over lines and words
that follow go from bit to bit instead of from byte to byte.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.extending import intrinsic

from dedup.kernels.compile import lean_kernel

BLOCK = 64
LONGEST = 3  # bytes of a pattern; so much beyond the block is read
REACH = BLOCK + LONGEST - 1
ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
_ONE, _TWO = np.uint64(1), np.uint64(2)

_Byte = str | int


@intrinsic
def block_at(typingctx, data, p):
    """Where the REACH bytes from data[p] on are, for the functions made by `begins`; those beyond the data are 0."""
    if not isinstance(data, types.Array) or data.dtype != types.uint8:
        return None

    def codegen(context, builder, signature, arguments):
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        p = arguments[1]
        left = builder.sub(array.nitems, p)
        address = array.nitems.type
        tail = builder.bitcast(cgutils.alloca_once(builder, ir.ArrayType(ir.IntType(8), REACH)), array.data.type)
        with builder.if_else(builder.icmp_signed(">=", left, ir.Constant(left.type, REACH)), likely=True) as (
            far,
            near,
        ):
            with far:
                here = builder.ptrtoint(builder.gep(array.data, [p]), address)
                far_block = builder.block
            with near:
                cgutils.memset(builder, tail, ir.Constant(address, REACH), 0)
                cgutils.raw_memcpy(builder, tail, builder.gep(array.data, [p]), left, 1)
                copied = builder.ptrtoint(tail, address)
                near_block = builder.block
        found = builder.phi(address)
        found.add_incoming(here, far_block)
        found.add_incoming(copied, near_block)
        return found

    return types.int64(data, types.int64), codegen


def _as_bits(builder, found):
    """A vector of truths as a uint64.

    The empty assembler keeps LLVM from moving the conversion behind a branch, where it would be one byte by byte
    (1.4 -> 3.0 ns a byte in one loop).
    """
    bits = ir.IntType(BLOCK)
    return builder.asm(ir.FunctionType(bits, [bits]), "", "=r,0", [builder.bitcast(found, bits)], False)


def _number(byte: _Byte) -> int:
    return ord(byte) if isinstance(byte, str) else byte


def begins(*patterns: Sequence[_Byte | tuple[_Byte, _Byte]], fold: bool = False) -> Any:
    """A function of `block_at(data, p)`: bit k is set where one of the patterns begins at data[p + k], for 64 places.

    A pattern is a sequence of at most LONGEST bytes: characters, numbers, or (first, last) of a range. With `fold`,
    capital ASCII letters are small ones (and some signs are others).
    """

    @intrinsic
    def mask(typingctx, block):
        def codegen(context, builder, signature, arguments):
            vector = ir.VectorType(ir.IntType(8), BLOCK)
            loaded: dict[int, Any] = {}

            def constant(byte):
                return ir.Constant(vector, [byte] * BLOCK)

            def at(k):
                if k not in loaded:
                    place = builder.add(arguments[0], ir.Constant(arguments[0].type, k))
                    x = builder.load(builder.inttoptr(place, vector.as_pointer()), align=1, typ=vector)
                    loaded[k] = builder.or_(x, constant(0x20)) if fold else x
                return loaded[k]

            def holds(k, byte):
                if isinstance(byte, tuple):
                    low = builder.sub(at(k), constant(_number(byte[0])))
                    return builder.icmp_unsigned("<=", low, constant(_number(byte[1]) - _number(byte[0])))
                return builder.icmp_unsigned("==", at(k), constant(_number(byte)))

            found = None
            for pattern in patterns:
                here = holds(0, pattern[0])
                for k, byte in enumerate(pattern[1:], 1):
                    here = builder.and_(here, holds(k, byte))
                found = here if found is None else builder.or_(found, here)
            return _as_bits(builder, found)

        return types.uint64(types.int64), codegen

    return mask


@intrinsic
def equal(typingctx, block, byte):
    """The places of a block that hold a byte."""

    def codegen(context, builder, signature, arguments):
        vector = ir.VectorType(ir.IntType(8), BLOCK)
        x = builder.load(builder.inttoptr(arguments[0], vector.as_pointer()), align=1, typ=vector)
        one = builder.insert_element(ir.Constant(vector, ir.Undefined), arguments[1], ir.Constant(ir.IntType(32), 0))
        places = ir.Constant(ir.VectorType(ir.IntType(32), BLOCK), [0] * BLOCK)
        same = builder.icmp_unsigned("==", x, builder.shuffle_vector(one, one, places))
        return _as_bits(builder, same)

    return types.uint64(types.int64, types.uint8), codegen


@intrinsic
def bit_count(typingctx, x):
    """Number of set bits of a uint64."""

    def codegen(context, builder, signature, arguments):
        return builder.ctpop(arguments[0])

    return types.int64(types.uint64), codegen


@intrinsic
def leading_zeros(typingctx, x):
    """Number of zero bits above the highest one of a uint64; 64 for 0."""

    def codegen(context, builder, signature, arguments):
        return builder.ctlz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), codegen


@intrinsic
def copy_bytes(typingctx, source, p, size, out, at):
    """source[p:p + size] into out from `at` on; the two do not overlap."""

    def codegen(context, builder, signature, arguments):
        source, p, size, out, at = arguments
        source = context.make_array(signature.args[0])(context, builder, source)
        out = context.make_array(signature.args[3])(context, builder, out)
        target = builder.gep(out.data, [at])
        cgutils.raw_memcpy(builder, target, builder.gep(source.data, [p]), size, 1)
        return context.get_dummy_value()

    return types.void(source, types.int64, types.int64, out, types.int64), codegen


@lean_kernel
def below(n):
    """The n lowest bits; all from 64 on."""
    return (_ONE << np.uint64(n)) - _ONE if n < BLOCK else ALL


NARROW_BREAKS = begins([(0x0A, 0x0D)], [(0x1C, 0x1E)])  # those of ASCII
_BREAKS = begins([(0x0A, 0x0D)], [(0x1C, 0x1E)], [0xC2, 0x85], [0xE2, 0x80, (0xA8, 0xA9)])
NARROW_SPACES = begins([0x20], [(0x09, 0x0D)], [(0x1C, 0x1F)])  # those of ASCII
_SPACES_OF_TWO = begins([0xC2, 0x85], [0xC2, 0xA0])
_SPACES_OF_THREE = begins(
    [0xE1, 0x9A, 0x80], [0xE2, 0x80, (0x80, 0x8A)], [0xE2, 0x80, (0xA8, 0xA9)], [0xE2, 0x80, 0xAF], [0xE2, 0x81, 0x9F],
    [0xE3, 0x80, 0x80],
)  # fmt: skip
_WIDE = begins([0xC2], [(0xE1, 0xE3)])
_CHARACTERS = begins([(0x00, 0x7F)], [(0xC0, 0xFF)])


@lean_kernel
def spaces(block, size, into):
    """(the bytes of white space among the first `size` of a block, those of its last character that lie beyond).

    into   the bytes at the block's beginning that belong to white space of the block before
    """
    if _WIDE(block) == 0:
        return (NARROW_SPACES(block) | into) & below(size), np.uint64(0)
    two, three = _SPACES_OF_TWO(block), _SPACES_OF_THREE(block)
    found = NARROW_SPACES(block) | into | two | two << _ONE | three | three << _ONE | three << _TWO
    return found & below(size), two >> np.uint64(63) | three >> np.uint64(63) | three >> np.uint64(62)


@lean_kernel
def breaks(block, size):
    """The beginnings of line breaks (str.splitlines) among the first `size` bytes; of CR LF there are two."""
    return _BREAKS(block) & below(size)


@lean_kernel
def firsts(block, size):
    """The first bytes of characters among the first `size` bytes."""
    return _CHARACTERS(block) & below(size)


@lean_kernel
def has_byte(data, start, end, byte):
    """Whether a byte occurs in data[start:end]."""
    p = start
    while p < end and not equal(block_at(data, p), np.uint8(byte)) & below(end - p):
        p += BLOCK
    return p < end
