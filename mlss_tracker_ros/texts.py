"""Texts of messages in a form that logs and statuses can carry."""

from __future__ import annotations

MAX_WORD = 32


def short(word: str) -> str:
    """One line of at most MAX_WORD printable characters; their sender may have sent a megabyte."""
    text = word[: MAX_WORD + 1]
    text = text if text.isprintable() else ascii(text)[1:-1]
    return text if len(word) <= MAX_WORD and len(text) <= MAX_WORD else f"{text[:MAX_WORD]}..."
