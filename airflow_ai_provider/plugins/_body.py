"""The body of a request: of a kind that is read, and no longer than may be."""

from __future__ import annotations

from fastapi import HTTPException, Request

MAX_BODY = 16 * 2**20


def kind_of(request: Request, *kinds: str) -> str:
    """Return the content type.

    :raises HTTPException: 415, it is none of ``kinds``.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in kinds:
        raise HTTPException(415, f"The content type must be {' or '.join(kinds)}.")
    return kind


async def body_of(request: Request) -> bytes:
    """Return the body; what is too long is not read to its end.

    :raises HTTPException: 413, it is longer than ``MAX_BODY``.
    """
    found = bytearray()
    async for piece in request.stream():
        found += piece
        if len(found) > MAX_BODY:
            raise HTTPException(413, f"A body may have {MAX_BODY} bytes: send it in parts.")
    return bytes(found)
