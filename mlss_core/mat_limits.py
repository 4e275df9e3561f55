"""Looks through a MAT file before scipy or h5py read it: neither bounds what a file claims.

192 bytes are enough to make scipy allocate an array of 30000 x 30000 cells.
"""

from __future__ import annotations

import math
import struct
import zlib
from typing import Any

MAX_BYTES = 128 << 20
"""Largest file and largest content unpacked; a checkpoint with its solver's state takes 17 MB."""
MAX_ENTRIES = 10_000  # parameters of a checkpoint; the released network has 39
MAX_NAME = 256  # characters of one
_MAX_DEPTH = 32
_MATRIX, _COMPRESSED = 14, 15  # element types (MAT-File Format, table 1-1)
_TYPES = {1, 2, 3, 4, 5, 6, 7, 9, 12, 13, _MATRIX, 16, 17, 18}
_CELL, _STRUCT, _OBJECT, _SPARSE, _FUNCTION, _OPAQUE = 1, 2, 3, 5, 16, 17  # array classes


class LimitError(ValueError):
    """A file that claims more than it holds, or more than any checkpoint has."""


def check_version_7(content: bytes) -> None:
    """Check every array of a version 7 (or 5, 6) file against the bytes that are there.

    Raises:
        LimitError: an array has more elements than bytes, arrays lie too deep in each other, an
            element is cut off, or the content unpacks to more than MAX_BYTES.
    """
    order = ">" if content[126:128] == b"MI" else "<"
    budget = MAX_BYTES
    at = 128
    while at + 8 <= len(content):
        kind, length = struct.unpack_from(order + "II", content, at)
        body = memoryview(content)[at + 8 : at + 8 + length]
        if len(body) < length:
            raise LimitError(f"an element of {length} bytes where {len(body)} are left")
        if kind == _COMPRESSED:
            unpacked = memoryview(_unpack(body, budget))
            budget -= len(unpacked)
            for inner_kind, inner in _elements(unpacked, order):
                if inner_kind == _MATRIX:
                    _check_array(inner, order, 0)
        elif kind == _MATRIX:
            _check_array(body, order, 0)
        at += 8 + length + (-length % 8 if kind != _COMPRESSED else 0)


def check_dataset(dataset: Any, filename: str, most: int) -> None:
    """Check one h5py dataset before its values are read.

    Args:
        dataset: as h5py gave it.
        filename: of the file that was opened.
        most: bytes that its values may take.

    Raises:
        LimitError: it is no dataset, is larger, or takes its values from another file.
    """
    if not hasattr(dataset, "nbytes"):
        raise LimitError("a group where values belong")
    if dataset.file.filename != filename or dataset.is_virtual or dataset.external:
        raise LimitError("values that lie in another file")
    if dataset.nbytes > most:
        raise LimitError(f"{dataset.nbytes} bytes of values where at most {most} belong")


def _unpack(packed: memoryview, budget: int) -> bytes:
    try:
        unpacked = zlib.decompressobj().decompress(packed, budget + 1)
    except zlib.error as error:
        raise LimitError(f"damaged compressed data ({error})") from error
    if len(unpacked) > budget:
        raise LimitError(f"content that unpacks to more than {MAX_BYTES >> 20} MiB")
    return unpacked


def _elements(content: memoryview, order: str) -> list[tuple[int, memoryview]]:
    """Type and body of every element; small ones keep length and data in their tag."""
    found = []
    at = 0
    while at + 8 <= len(content):
        kind, length = struct.unpack_from(order + "II", content, at)
        if kind >> 16:
            kind, length, start, end = kind & 0xFFFF, kind >> 16, at + 4, at + 8
            if length > 4:
                raise LimitError(f"a small element of {length} bytes")
        else:
            start, end = at + 8, at + 8 + length + (-length % 8)
        if kind not in _TYPES:  # scipy looks them up in C arrays without bounds
            raise LimitError(f"an element of unknown type {kind}")
        body = content[start : start + length]
        if len(body) < length:
            raise LimitError(f"an element of {length} bytes where {len(body)} are left")
        found.append((kind, body))
        at = end
    return found


def _check_array(content: memoryview, order: str, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise LimitError(f"arrays more than {_MAX_DEPTH} deep in each other")
    parts = _elements(content, order)
    if not parts:
        return  # an empty cell
    flags = parts[0][1]
    if len(flags) != 8 or len(parts) < 3 or parts[0][0] != 6:
        raise LimitError("an array without flags, dimensions or name")
    kind = struct.unpack_from(order + "I", flags)[0] & 0xFF
    if not _CELL <= kind <= _OPAQUE:
        raise LimitError(f"an array of unknown class {kind}")
    values, count = parts[3:], 1
    if kind != _OPAQUE:  # which has no dimensions
        sizes_type, raw = parts[1]
        if sizes_type != 5:
            raise LimitError(f"an array with dimensions of type {sizes_type}")
        dimensions = struct.unpack_from(f"{order}{len(raw) // 4}i", raw)
        if len(dimensions) > _MAX_DEPTH or min(dimensions, default=0) < 0:
            raise LimitError(f"an array of dimensions {dimensions[:4]}")
        count = math.prod(dimensions) if kind not in (_SPARSE, _FUNCTION) else 0
    inner = [body for inner_kind, body in values if inner_kind == _MATRIX]
    if kind == _CELL:
        _check_count(count, len(inner))
    elif kind in (_STRUCT, _OBJECT):
        texts = [body for inner_kind, body in values if inner_kind != _MATRIX]
        width = struct.unpack_from(order + "i", texts[-2])[0] if len(texts) > 1 else 0
        fields = len(texts[-1]) // width if width > 0 else 0
        _check_count(count * max(fields, 1), len(inner) if fields else MAX_ENTRIES)
    else:
        _check_count(count, sum(len(body) for _, body in values))
    for body in inner:
        _check_array(body, order, depth + 1)


def _check_count(claimed: int, held: int) -> None:
    if claimed > held:
        raise LimitError(f"an array of {claimed} elements where {held} can be")
