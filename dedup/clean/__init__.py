"""Text to better text. Every stage replaces `text` and leaves the bytes of a text that it does not change alone."""

from dedup.clean.fix import fix_text
from dedup.clean.html import strip_html
from dedup.clean.lines import drop_lines
from dedup.clean.pii import mask_pii
from dedup.clean.space import normalize

__all__ = ["drop_lines", "fix_text", "mask_pii", "normalize", "strip_html"]
