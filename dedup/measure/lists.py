"""Lists of words and domains that users give, in the recipe or as a file; and the lists of stop words that are shipped.

A file is looked for at planning, when there are no rows, and read once by each process that measures something.
"""

from __future__ import annotations

import functools
import tomllib
from pathlib import Path

from dedup.errors import RecipeError, nearest
from dedup.io.named import version


def entries(setting: str, value: str | list[str], *, load: bool) -> tuple[str, ...]:
    """The entries of a list, or of a file of one a line; of a file none unless `load`, only that it is there.

    White space around an entry and empty lines are nothing; the file is UTF-8, with or without a byte-order mark.
    """
    if isinstance(value, str):
        path = Path(value)
        if not path.is_file():
            raise RecipeError(f"{setting}: there is no file {value!r}; it is a list of strings or a file of one a line")
        if not load:
            return ()
        return _read(setting, path, version(path))
    if not isinstance(value, list | tuple) or not all(isinstance(entry, str) for entry in value):
        raise RecipeError(f"{setting} is {value!r}; it is a list of strings or a file of one a line")
    return tuple(stripped for entry in value if (stripped := entry.strip()))


@functools.lru_cache(maxsize=64)
def _read(setting: str, path: Path, seen: tuple[int, int]) -> tuple[str, ...]:
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecipeError(f"{setting}: {path} is not UTF-8 (byte {error.start:,})") from None
    return tuple(stripped for line in text.split("\n") if (stripped := line.strip()))


@functools.cache
def _stop_words() -> dict[str, tuple[str, ...]]:
    text = Path(__file__).with_name("stop_words.toml").read_text("utf-8")
    return {language: tuple(words.split()) for language, words in tomllib.loads(text).items()}


def stop_words(language: str) -> tuple[str, ...]:
    """The shipped stop words of a language (ISO 639-1)."""
    lists = _stop_words()
    if language not in lists:
        raise RecipeError(f"there are no stop words for {language!r}: give stop_words; {nearest(language, lists)}")
    return lists[language]
