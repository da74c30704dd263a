"""One spelling for the language labels of all models: ISO 639-1 where it has the language, else ISO 639-3.

Models disagree: Chinese is `zh-cn`, `zh` or `cmn_Hani`, Norwegian `no`, `nb` or `nob_Latn`. A recipe that filters
by `language` must not care which model it was.
"""

from __future__ import annotations

import functools

_ISO_639 = """
aar:aa abk:ab ave:ae afr:af aka:ak amh:am arg:an ara:ar asm:as ava:av aym:ay aze:az bak:ba bel:be bul:bg bih:bh
bis:bi bam:bm ben:bn bod:bo bre:br bos:bs cat:ca che:ce cha:ch cos:co cre:cr ces:cs chu:cu chv:cv cym:cy dan:da
deu:de div:dv dzo:dz ewe:ee ell:el eng:en epo:eo spa:es est:et eus:eu fas:fa ful:ff fin:fi fij:fj fao:fo fra:fr
fry:fy gle:ga gla:gd glg:gl grn:gn guj:gu glv:gv hau:ha heb:he hin:hi hmo:ho hrv:hr hat:ht hun:hu hye:hy her:hz
ina:ia ind:id ile:ie ibo:ig iii:ii ipk:ik ido:io isl:is ita:it iku:iu jpn:ja jav:jv kat:ka kon:kg kik:ki kua:kj
kaz:kk kal:kl khm:km kan:kn kor:ko kau:kr kas:ks kur:ku kom:kv cor:kw kir:ky lat:la ltz:lb lug:lg lim:li lin:ln
lao:lo lit:lt lub:lu lav:lv mlg:mg mah:mh mri:mi mkd:mk mal:ml mon:mn mar:mr msa:ms mlt:mt mya:my nau:na nde:nd
nep:ne ndo:ng nld:nl nno:nn nor:no nbl:nr nav:nv nya:ny oci:oc oji:oj orm:om ori:or oss:os pan:pa pli:pi pol:pl
pus:ps por:pt que:qu roh:rm run:rn ron:ro rus:ru kin:rw san:sa srd:sc snd:sd sme:se sag:sg sin:si slk:sk slv:sl
smo:sm sna:sn som:so sqi:sq srp:sr ssw:ss sot:st sun:su swe:sv swa:sw tam:ta tel:te tgk:tg tha:th tir:ti tuk:tk
tgl:tl tsn:tn ton:to tur:tr tso:ts tat:tt twi:tw tah:ty uig:ug ukr:uk urd:ur uzb:uz ven:ve vie:vi vol:vo wln:wa
wol:wo xho:xh yid:yi yor:yo zha:za zho:zh zul:zu
"""
# The language that a code for all its varieties usually means, bibliographic codes, and codes withdrawn.
_SAME = """
cmn:zh arb:ar pes:fa prs:fa ekk:et lvs:lv swh:sw zsm:ms npi:ne ory:or azj:az uzn:uz khk:mn plt:mg ydd:yi gug:gn
pbt:ps nob:no nb:no ayr:ay bho:bh quy:qu fuv:ff kmr:ku fil:tl hbs:sr sh:sr iw:he in:id ji:yi jw:jv mo:ro
"""


@functools.cache
def _known() -> dict[str, str]:
    return dict(pair.split(":") for pair in f"{_ISO_639}{_SAME}".split())


@functools.cache
def language_code(label: str) -> str:
    """The code of a model's label: `__label__zh`, `zh-cn` and `cmn_Hani` are all zh."""
    name = label.removeprefix("__label__")
    code, _, script = name.replace("-", "_").partition("_")
    code = code.lower()
    if code == "als":  # Tosk Albanian to ISO; Alemannic to Wikipedia and so to lid.176, whose labels have no script
        return "sq" if script else "gsw"
    return _known().get(code, code)
