"""Products of small matrices for the compiled loops: `add_product`, at the speed of a good library's.

A library is called from Python, once for each product and block of crystals; a training step has hundreds,
and their calls cost as much as they do. From compiled loops a call costs nothing. And terms are always added
in their order, so that a row of a product depends neither on the rows beside it nor on their number.

A tile of the result, some rows of one to four vectors, stays in registers while all its terms are added. Such
a loop cannot be written in Python, so that it is given in the compiler's own language, LLVM's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import intrinsic

from ..computing.compiled import WIDE_VECTORS, compiled

_ROWS = 6
_VECTOR = 16  # channels in a vector: one register of AVX-512, two of AVX2, four of NEON
_VECTORS = 4 if WIDE_VECTORS else 1  # that are worked on at once: what fits in the registers
_WIDE = _VECTORS * _VECTOR
_NEAR = 1024  # bytes from row to row of a weight: rows farther apart displace each other from the cache

_FLOAT, _INDEX, _LANE = ir.FloatType(), ir.IntType(64), ir.IntType(32)
_REGISTER = ir.VectorType(_FLOAT, _VECTOR)
_BYTES = ir.IntType(8).as_pointer()
_SIZE = 4  # bytes of a float32


def _tile(n_rows: int, n_vectors: int) -> Any:
    """Return tile(x, weight, out, row, column): out += x weight, for a tile of `out` from there on."""

    @intrinsic  # type: ignore[untyped-decorator]
    def tile(typing_context, x, weight, out, row, column):  # type: ignore[no-untyped-def]
        if any((array.dtype, array.ndim) != (types.float32, 2) for array in (x, weight, out)):
            raise TypingError("a product is of float32 matrices")

        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            arrays = [
                context.make_array(kind)(context, builder, value)
                for kind, value in zip(signature.args[:3], arguments[:3], strict=True)
            ]
            _add_tile(builder, arrays, arguments[3:], n_rows, n_vectors)
            return context.get_dummy_value()

        return types.void(x, weight, out, types.int64, types.int64), generate

    return tile


def _add_tile(builder: Any, arrays: list[Any], corner: Any, n_rows: int, n_vectors: int) -> None:
    """Emit the loop over terms of a tile; `corner` is its first row and column."""
    x, weight, out = (_address(builder, array) for array in arrays)
    row, column = corner
    n_terms = cgutils.unpack_tuple(builder, arrays[1].shape, 2)[0]
    tile = [(r, v) for r in range(n_rows) for v in range(n_vectors)]
    first = {v: builder.add(column, _index(v * _VECTOR)) for v in range(n_vectors)}
    rows = {r: builder.add(row, _index(r)) for r in range(n_rows)}
    results = {(r, v): out(rows[r], first[v], _REGISTER) for r, v in tile}
    sums = {at: cgutils.alloca_once_value(builder, builder.load(results[at], align=_SIZE)) for at in tile}
    with cgutils.for_range(builder, n_terms) as terms:
        factors = {v: builder.load(weight(terms.index, first[v], _REGISTER), align=_SIZE) for v in first}
        for r in rows:
            factor = _everywhere(builder, builder.load(x(rows[r], terms.index, _FLOAT), align=_SIZE))
            for v in first:
                product = builder.fmul(factor, factors[v], flags=("contract",))
                total = builder.fadd(builder.load(sums[r, v]), product, flags=("contract",))
                builder.store(total, sums[r, v])
    for at in tile:
        builder.store(builder.load(sums[at]), results[at], align=_SIZE)


def _address(builder: Any, array: Any) -> Callable[[Any, Any, Any], Any]:
    """Return a function from row, column and kind of what lies there to an address in an array."""
    start = builder.bitcast(array.data, _BYTES)
    of_row, of_column = cgutils.unpack_tuple(builder, array.strides, 2)

    def address(row: Any, column: Any, kind: Any) -> Any:
        offset = builder.add(builder.mul(row, of_row), builder.mul(column, of_column))
        return builder.bitcast(builder.gep(start, [offset]), kind.as_pointer())

    return address


def _index(value: int) -> Any:
    return ir.Constant(_INDEX, value)


def _everywhere(builder: Any, value: Any) -> Any:
    """A vector with a value in all its places."""
    undefined = ir.Constant(_REGISTER, ir.Undefined)
    vector = builder.insert_element(undefined, value, ir.Constant(_LANE, 0))
    return builder.shuffle_vector(vector, undefined, ir.Constant(ir.VectorType(_LANE, _VECTOR), None))


_wide_tile, _wide_row = _tile(_ROWS, _VECTORS), _tile(1, _VECTORS)
_narrow_tile, _narrow_row = _tile(_ROWS, 1), _tile(1, 1)


@intrinsic  # type: ignore[untyped-decorator]
def _stay_apart(typing_context):  # type: ignore[no-untyped-def]
    """Keep the loop that calls this a function of its own: compiled anew for each call it takes seconds."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        builder.function.attributes.add("noinline")
        return context.get_dummy_value()

    return types.void(), generate


@compiled(inline="always")
def add_product(x, weight, out):  # type: ignore[no-untyped-def]
    """out (rows, N) += x (rows, K) times weight (K, N), float32.

    Columns of the last two must be contiguous, and `out` must not overlap with the others.
    """
    _add_product(x[:, :], weight[:, :], out[:, :])  # whatever their layout, it is compiled once


@compiled(fastmath={"contract"})
def _add_product(x, weight, out):  # type: ignore[no-untyped-def]
    _stay_apart()
    width = out.shape[1]
    wide, whole = width - width % _WIDE, width - width % _VECTOR
    is_near = weight.strides[0] <= _NEAR
    for column in range(0, wide, _WIDE):
        if is_near:
            _add_stripe(x, weight, out, column)
        else:
            stripe = np.empty((len(weight), _WIDE), np.float32)
            copy_rows(weight[:, column : column + _WIDE], stripe)
            _add_stripe(x, stripe[:, :], out[:, column:], 0)
    for column in range(wide, whole, _VECTOR):
        _add_narrow_stripe(x, weight, out, column)
    if whole < width:  # with zeros beside them the last columns are a vector
        last = np.empty((len(weight), _VECTOR), np.float32)
        clear_rows(last)
        copy_rows(weight[:, whole:], last[:, : width - whole])
        sums = np.empty((len(x), _VECTOR), np.float32)
        clear_rows(sums)
        copy_rows(out[:, whole:], sums[:, : width - whole])
        _add_narrow_stripe(x, last[:, :], sums[:, :], 0)
        copy_rows(sums[:, : width - whole], out[:, whole:])


@compiled(fastmath={"contract"})
def _add_stripe(x, weight, out, column):  # type: ignore[no-untyped-def]
    """The product's _WIDE columns from `column` on."""
    _stay_apart()
    whole = len(x) - len(x) % _ROWS
    for row in range(0, whole, _ROWS):
        _wide_tile(x, weight, out, row, column)
    for row in range(whole, len(x)):
        _wide_row(x, weight, out, row, column)


@compiled(fastmath={"contract"})
def _add_narrow_stripe(x, weight, out, column):  # type: ignore[no-untyped-def]
    """The product's _VECTOR columns from `column` on."""
    _stay_apart()
    whole = len(x) - len(x) % _ROWS
    for row in range(0, whole, _ROWS):
        _narrow_tile(x, weight, out, row, column)
    for row in range(whole, len(x)):
        _narrow_row(x, weight, out, row, column)


# Whole arrays are assigned by these: NumPy's assignment takes long to compile, for the sake of its messages.


@compiled
def copy_rows(x, out):  # type: ignore[no-untyped-def]
    """out = x, (rows, N) each."""
    for row in range(len(x)):
        for c in range(x.shape[1]):
            out[row, c] = x[row, c]


@compiled
def set_rows(out, values):  # type: ignore[no-untyped-def]
    """Each row of out (rows, N) = values (N,)."""
    for row in range(len(out)):
        for c in range(out.shape[1]):
            out[row, c] = values[c]


@compiled
def clear_rows(out):  # type: ignore[no-untyped-def]
    """out = 0, (rows, N)."""
    for row in range(len(out)):
        for c in range(out.shape[1]):
            out[row, c] = 0
