"""Text to better text. Every stage replaces `text` and leaves the bytes of a text that it does not change alone."""

from dedup.clean.fix import fix_text
from dedup.clean.space import normalize

__all__ = ["fix_text", "normalize"]
