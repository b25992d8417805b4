"""The canonical JSON (RFC 8785) of plain records, and its hashes, in columns of Arrow."""

from __future__ import annotations

from binascii import hexlify
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from airflow_ai_provider.core.feedback.record import FIELDS

_HEX = 64


def canonical_hashes(columns: Mapping[str, Any]) -> Any:
    """Return the SHA-256 of each record as text.

    ``columns`` are those of the fields that any record may have, without control characters.
    """
    import numpy as np
    import pyarrow as pa
    from pyarrow import compute as pc

    parts: list[Any] = ["{"]
    for name in sorted(FIELDS):
        if name not in columns:
            continue
        before = f'{"," if name > "feedback_id" else ""}"{name}":'
        after = "," if name < "feedback_id" else ""
        text, quote = json_text(columns[name]), ""
        if pa.types.is_string(columns[name].type):
            quote = '"'
        field = (before + quote, text, quote + after)
        if text.null_count:  # then all of the field is
            parts.append(pc.binary_join_element_wise(*field, ""))
        else:
            parts += field
    parts += ["}\n", ""]
    whole = pc.binary_join_element_wise(*parts, null_handling="replace", null_replacement="")
    lines = _characters(whole).tobytes().split(b"\n")
    lines.pop()
    digests = b"".join([sha256(line).digest() for line in lines])
    ends = np.arange(len(lines) + 1, dtype=np.int32) * _HEX
    return pa.StringArray.from_buffers(
        len(lines), pa.py_buffer(ends), pa.py_buffer(hexlify(digests))
    )


def json_text(column: Any) -> Any:
    """Return the JSON of each value as text, that of a text without its quotes."""
    import pyarrow as pa
    from pyarrow import compute as pc

    if pa.types.is_string(column.type):
        return _escaped(column)
    if pa.types.is_boolean(column.type):
        return pc.cast(column, pa.string())
    whole = pc.equal(pc.floor(column), column)
    if pc.all(whole).as_py() is not False:
        return pc.cast(pc.cast(column, pa.int64()), pa.string())
    integers = pc.cast(pc.if_else(whole, column, 0.0), pa.int64())
    return pc.if_else(whole, pc.cast(integers, pa.string()), pc.cast(column, pa.string()))


def _escaped(column: Any) -> Any:
    from pyarrow import compute as pc

    characters = _characters(column)
    for sign in ("\\", '"'):
        if (characters == ord(sign)).any():
            column = pc.replace_substring(column, sign, "\\" + sign)
    return column


def _characters(column: Any) -> Any:
    """Return the UTF-8 of all texts of a column, one after the other."""
    import numpy as np

    _, offsets, data = column.buffers()
    if data is None:
        return np.empty(0, np.uint8)
    ends = np.frombuffer(offsets, np.int32)[[column.offset, column.offset + len(column)]]
    return np.frombuffer(data, np.uint8)[ends[0] : ends[1]]
