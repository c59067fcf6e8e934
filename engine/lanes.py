"""Sixteen numbers at once in functions compiled by numba: explicit vectors, so that no compiler has to find them.

A vector is one 64-byte line in float32; on a processor with narrower registers LLVM splits it. ``madd(a, b, c)`` is a b + c
with a vector or a number a. The electrons' recursion keeps four columns of the four real numbers of a site in a vector,

    (Re up, Im up, Re down, Im down) x 4 columns;

``cross`` and ``turn`` are the two exchanges of quarters that sigma_x and sigma_y need. ``evens`` and ``odds`` take apart the
real and imaginary parts of sixteen complex numbers in two vectors, ``first_pairs`` and ``last_pairs`` join them again.

``compiled`` and ``inlined`` are the decorators of loops that use vectors. They count no references, since such loops
allocate nothing: counting the arrays of every call took two thirds of the recursion's time. What is ``inlined`` is so by
force: vectors handed over at a call would go through memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import njit
from numba.core import cgutils, types
from numba.extending import intrinsic as numba_intrinsic
from numba.extending import models, register_model

COLUMNS = 4  # complex columns of one vector
LANES = 4 * COLUMNS
_OPTIONS: dict[str, Any] = {"nogil": True, "cache": True, "error_model": "numpy", "_nrt": False}
compiled, inlined = njit(**_OPTIONS), njit(forceinline=True, **_OPTIONS)
_INDEX = ir.IntType(32)
intrinsic: Callable[[Callable], Any] = numba_intrinsic  # called without the typing context that it is written with


class Vector(types.Type):
    """LANES numbers of one floating-point type."""

    def __init__(self, dtype: types.Float) -> None:
        self.dtype = dtype
        super().__init__(name=f"Vector({dtype}, {LANES})")


@register_model(Vector)
class VectorModel(models.PrimitiveModel):
    """An LLVM vector."""

    def __init__(self, manager: Any, kind: Vector) -> None:
        element = ir.FloatType() if kind.dtype == types.float32 else ir.DoubleType()
        super().__init__(manager, kind, ir.VectorType(element, LANES))


def _suffix(vector: ir.VectorType) -> str:
    return f"v{vector.count}f{32 if isinstance(vector.element, ir.FloatType) else 64}"


def _splat(builder: ir.IRBuilder, vector: ir.VectorType, number: ir.Value) -> ir.Value:
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), number, ir.Constant(_INDEX, 0))
    return _permuted(builder, first, [0] * vector.count)


def _permuted(builder: ir.IRBuilder, value: ir.Value, order: Sequence[int]) -> ir.Value:
    mask = ir.Constant(ir.VectorType(_INDEX, len(order)), list(order))
    return builder.shuffle_vector(value, ir.Constant(value.type, ir.Undefined), mask)


def _address(context: Any, builder: ir.IRBuilder, kind: Any, array: Any, offset: Any, vector: ir.VectorType) -> Any:
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [offset]), vector.as_pointer())


@intrinsic
def load(typing, array, offset):  # type: ignore[no-untyped-def]
    """The vector at ``array[offset:]`` of a flat array."""
    kind = Vector(array.dtype)

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        at, by = arguments
        place = _address(context, builder, array, at, by, context.get_value_type(kind))
        value = builder.load(place)
        value.align = array.dtype.bitwidth // 8
        return value

    return kind(array, types.int64), generate


@intrinsic
def store(typing, array, offset, value):  # type: ignore[no-untyped-def]
    """array[offset:] <- value."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        at, by, what = arguments
        place = _address(context, builder, array, at, by, context.get_value_type(value))
        builder.store(what, place).align = array.dtype.bitwidth // 8
        return context.get_dummy_value()

    return types.void(array, types.int64, value), generate


@intrinsic
def zero(typing, array):  # type: ignore[no-untyped-def]
    """The zero vector of an array's type."""
    kind = Vector(array.dtype)

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return ir.Constant(context.get_value_type(kind), None)

    return kind(array), generate


@intrinsic
def madd(typing, a, b, c):  # type: ignore[no-untyped-def]
    """a b + c, rounded once where the processor can; ``a`` a vector or a number."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        vector = context.get_value_type(c)
        first = arguments[0] if isinstance(a, Vector) else _splat(builder, vector, arguments[0])
        kind = ir.FunctionType(vector, [vector] * 3)
        function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fmuladd.{_suffix(vector)}")
        return builder.call(function, [first, arguments[1], arguments[2]])

    return c(a, b, c), generate


@intrinsic
def scaled(typing, a, b):  # type: ignore[no-untyped-def]
    """a b with a number a and a vector b."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.fmul(_splat(builder, context.get_value_type(b), arguments[0]), arguments[1])

    return b(a, b), generate


def _elementwise(name: str) -> Callable:
    @intrinsic
    def operation(typing, a, b):  # type: ignore[no-untyped-def]
        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            return getattr(builder, name)(*arguments)

        return a(a, b), generate

    return operation


def _of_quarters(order: Sequence[int]) -> list[int]:
    return [COLUMNS * quarter + column for quarter in order for column in range(COLUMNS)]


def _quarters(order: Sequence[int]) -> Callable:
    lanes = _of_quarters(order)

    @intrinsic
    def permutation(typing, a):  # type: ignore[no-untyped-def]
        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            return _permuted(builder, arguments[0], lanes)

        return a(a), generate

    return permutation


def _joined(lanes: Sequence[int]) -> Callable:
    """These numbers of two vectors, LANES .. 2 LANES - 1 being those of the second."""

    @intrinsic
    def join(typing, a, b):  # type: ignore[no-untyped-def]
        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            mask = ir.Constant(ir.VectorType(_INDEX, len(lanes)), list(lanes))
            return builder.shuffle_vector(arguments[0], arguments[1], mask)

        return a(a, b), generate

    return join


add, subtract, multiply = _elementwise("fadd"), _elementwise("fsub"), _elementwise("fmul")
swap = _quarters((1, 0, 3, 2))  # Re <-> Im
cross = _quarters((2, 3, 0, 1))  # up <-> down
turn = _quarters((3, 2, 1, 0))  # both
low_halves, high_halves = _joined(_of_quarters((0, 1, 4, 5))), _joined(_of_quarters((2, 3, 6, 7)))
even_quarters, odd_quarters = _joined(_of_quarters((0, 2, 4, 6))), _joined(_of_quarters((1, 3, 5, 7)))
evens, odds = _joined(range(0, 2 * LANES, 2)), _joined(range(1, 2 * LANES, 2))
_PAIRS = [lane for k in range(LANES) for lane in (k, LANES + k)]
first_pairs, last_pairs = _joined(_PAIRS[:LANES]), _joined(_PAIRS[LANES:])


@intrinsic
def total(typing, a):  # type: ignore[no-untyped-def]
    """Sum of the sixteen numbers, in pairs."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        vector = context.get_value_type(a)
        kind = ir.FunctionType(vector.element, [vector.element, vector])
        function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.vector.reduce.fadd.{_suffix(vector)}")
        return builder.call(function, [ir.Constant(vector.element, 0.0), arguments[0]], fastmath=("fast",))

    return a.dtype(a), generate
