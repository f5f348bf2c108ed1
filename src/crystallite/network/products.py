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

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..computing.compiled import WIDE_VECTORS, compiled

_ROWS = 6
_VECTOR = 16  # channels in a vector: one register of AVX-512, two of AVX2, four of NEON
_VECTORS = 4 if WIDE_VECTORS else 1  # that are worked on at once: what fits in the registers
_WIDE = _VECTORS * _VECTOR

_FLOAT, _INDEX, _LANE = ir.FloatType(), ir.IntType(64), ir.IntType(32)
_REGISTER = ir.VectorType(_FLOAT, _VECTOR)
_BYTES = ir.IntType(8).as_pointer()
_SIZE = 4  # bytes of a float32


def _tile(n_rows: int, n_vectors: int) -> Any:
    """Return tile(x, weight, out, row, column): out += x weight, for a tile of `out` from there on.

    Columns of `weight` and `out` must be contiguous.
    """

    @intrinsic  # type: ignore[untyped-decorator]
    def tile(typing_context, x, weight, out, row, column):  # type: ignore[no-untyped-def]
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


@compiled(fastmath={"contract"})
def add_product(x, weight, out):  # type: ignore[no-untyped-def]
    """out (rows, N) += x (rows, K) times weight (K, N); columns of the last two must be contiguous."""
    n_rows, width = out.shape
    whole_rows, whole, wide = n_rows - n_rows % _ROWS, width - width % _VECTOR, width - width % _WIDE
    for column in range(0, wide, _WIDE):
        for row in range(0, whole_rows, _ROWS):
            _wide_tile(x, weight, out, row, column)
        for row in range(whole_rows, n_rows):
            _wide_row(x, weight, out, row, column)
    for column in range(wide, whole, _VECTOR):
        for row in range(0, whole_rows, _ROWS):
            _narrow_tile(x, weight, out, row, column)
        for row in range(whole_rows, n_rows):
            _narrow_row(x, weight, out, row, column)
    for row in range(n_rows if whole < width else 0):
        for k in range(len(weight)):
            for c in range(whole, width):
                out[row, c] += x[row, k] * weight[k, c]


@compiled
def copy_rows(x, out):  # type: ignore[no-untyped-def]
    """out = x, (rows, N) each; assigned as a whole they would be copied twice."""
    for row in range(len(x)):
        for c in range(x.shape[1]):
            out[row, c] = x[row, c]
