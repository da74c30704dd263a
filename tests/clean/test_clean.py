"""What holds for every cleaning stage: string types, settings."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from dedup import clean
from dedup.errors import RecipeError
from tests.batches import batch_of, texts_of

STRING_TYPES = [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())]


@pytest.mark.parametrize("stage", [clean.fix_text, clean.normalize])
@pytest.mark.parametrize("string", STRING_TYPES)
def test_every_string_type_comes_back_as_large_string(stage: Any, string: pa.DataType) -> None:
    column = pa.array(["a\r\nb", "c", None])
    column = column.dictionary_encode() if pa.types.is_dictionary(string) else column.cast(string)
    batch = pa.record_batch({"text": column, "n": [1, 2, 3]})
    assert texts_of(stage(batch)) == ["a\nb", "c", None]
    assert texts_of(stage(batch.slice(1))) == ["c", None]
    assert stage(batch).schema == stage(batch.slice(1, 1)).schema == stage(batch.slice(0, 0)).schema
    assert stage(batch.slice(0, 0)).num_rows == 0


@pytest.mark.parametrize("rows", [0, 1])
@pytest.mark.parametrize(
    ("stage", "setting", "message"),
    [
        (
            clean.fix_text,
            {"normalization": "NFX"},
            "normalization is 'NFX'; it is one of NFC, NFD, NFKC, NFKD, none",
        ),
        (clean.fix_text, {"unescape_html": "yes"}, "unescape_html is 'yes'; it is \"auto\", true or false"),
        (
            clean.fix_text,
            {"max_decode_length": 0},
            "max_decode_length is 0; it is a number of characters from 1 up",
        ),
        (clean.normalize, {"form": "NFX"}, "form is 'NFX'; it is one of NFC, NFD, NFKC, NFKD, none"),
        (clean.normalize, {"blank_lines": -1}, 'blank_lines is -1; it is a number from 0 to 100, or "keep"'),
    ],
)
def test_a_wrong_setting_is_refused(stage: Any, setting: Any, message: str, rows: int) -> None:
    with pytest.raises(RecipeError) as raised:
        stage(batch_of("a").slice(0, rows), **setting)
    assert str(raised.value) == f"{stage.__name__}: {message}"
