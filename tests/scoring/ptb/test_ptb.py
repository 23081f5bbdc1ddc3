"""The PTB tokenizer: against stored tokens of the Java class, against the class itself, and by hand."""

from __future__ import annotations

import csv
import gzip
import io
import os
import re
from pathlib import Path

import java_ptb
import pytest
from odd_captions import odd_captions

from espret.scoring.ptb import tokenizer as ptb
from espret.scoring.ptb.tokenizer import clean, tokenise

# What Java made of these, one line each.
CASES = [
    ("A dog barks, then (far away) a car passes.", "a dog barks then -lrb- far away -rrb- a car passes"),
    ("A man says \"hello\" and 'goodbye'", "a man says hello and goodbye"),
    ("“Hi”, she said; ‘bye’ he said", "hi she said bye he said"),
    ("it's the dog's bone, isn't it?", "it 's the dog 's bone is n't it"),
    ("they can't cannot won't don't", "they ca n't can not wo n't do n't"),
    ("I'm gonna, you're gotta, we'll wanna", "i 'm gon na you 're got ta we 'll wan na"),
    ("'tis 'twas ’tis ’twas", "'t is 't was tis twas"),
    ("lemme gimme dunno", "lem me gim me dunno"),
    ("rock 'n' roll, get 'em, y'all", "rock 'n' roll get 'em y' all"),
    ("the '90s, '80s and '99 ", "the '90s '80s and '99"),
    ("o'clock O'Brien d'Avignon l'eau", "o'clock o'brien d'avignon l'eau"),
    ("c'mon cont'd. nor'easter ev'ry", "c'mon cont'd. nor'easter ev'ry"),
    ("Mr. Smith and Mrs. Jones vs. Dr. Who", "mr. smith and mrs. jones vs. dr. who"),
    ("made by Foo Inc. of Bar Co. Ltd.", "made by foo inc. of bar co. ltd."),
    ("he says etc. and so on etc.", "he says etc. and so on etc."),
    ("music (approx. 5 min. long)", "music -lrb- approx 5 min long -rrb-"),
    ("at 5 p.m. a.m and 12:30", "at 5 p.m. a.m and 12:30"),
    ("the U.S. The army of the U.K. is", "the u.s. the army of the u.k. is"),
    ("plan B. The end", "plan b the end"),
    ("I. He", "i he"),
    ("No. 5 and no. five, say no.", "no. 5 and no five say no"),
    ("fig. 3 shows pp. 4 art.", "fig. 3 shows pp. 4 art"),
    ("Ph.D. J.R.R. e.g. i.e., a.k.a. x", "ph.d. j.r.r. e.g. i.e. a.k.a. x"),
    ("Mon. Tues. Jan. Sept. La. la. Miss. miss.", "mon. tues. jan. sept. la. la miss. miss"),
    ("pty. ltd. and co. ltd.", "pty. ltd. and co. ltd."),
    ("3.5 dogs, 1,000 cats, .5 and -5 +5", "3.5 dogs 1,000 cats .5 and -5 +5"),
    ("3 1/2 cups, 1/2 cup, ½ ¾ ⅓ ⅛", "3\xa01/2 cups 1/2 cup 1/2 3/4 1/3 \u215b"),
    ("12/25/2013 2013-11-20 1-2-13", "12/25/2013 2013-11-20 1-2-13"),
    ("call (415) 555-1212 or 415.555.1212", "call -lrb-415-rrb-\xa0555-1212 or 415.555.1212"),
    ("+1 415 555 1212 555-1212", "+1 415\xa0555\xa01212\xa0555 -1212"),
    ("1st 2nd 3D 4x4 16kHz 44.1kHz 40s", "1st 2nd 3d 4x4 16khz 44.1 khz 40s"),
    ("x² m³ H₂O 10⁻⁵", "x ² m ³ h ₂ o 10 ⁻⁵"),
    ("5% 20°C 90° ±3", "5 % 20 ° c 90 ° ± 3"),
    ("$5 US$5 £5 €7 10¢ ¥8 ₤9 #1", "$ 5 us$ 5 # 5 $ 7 10 cents ¥ 8 ₤ 9 # 1"),
    ("high-pitched co-ed X-ray up-and-down", "high-pitched co-ed x-ray up-and-down"),
    ("and/or he/she 24/7 km/h w/o a / b", "and/or he/she 24/7 km/h w/o a / b"),
    ("AT&T R&D AT&amp;T S&P-500 a & b", "at&t r&d at&t s&p-500 a & b"),
    ("c++ C# F#", "c++ c# f#"),
    ("foo.txt song.mp3, x.html", "foo.txt song.mp3 x.html"),
    ("a@b.com <a.b@c.de> @user #tag", "a@b.com <a.b@c.de> @user #tag"),
    ("http://a.b/c?d=e&f=g. www.foo.com/bar", "http://a.b/c?d=e&f=g www.foo.com/bar"),
    ("see foo.org/bar, or x.co.uk", "see foo.org/bar or x.co.uk"),
    (
        '<b>bold</b> <a href="x y"> <!-- no --> 1 < 2 > 0',
        '<b> bold </b> <a\xa0href="x\xa0y"> <!--\xa0no\xa0--> 1 < 2 > 0',
    ),
    ("&lt;b&gt; &quot;q&quot; &apos;a&apos; &nbsp;x &mdash; &#12; caf&eacute;", "< b > q a x &#12; caf&eacute;"),
    (":) :-) ;) :D :-( <3 ^_^ (^_^) x_x", ":-rrb- :--rrb- ;-rrb- :d :--lrb- < 3 ^_^ -lrb-^_^-rrb- x_x"),
    ("[a] {b} (c) -LRB-", "-lsb- a -rsb- -lcb- b -rcb- -lrb- c -rrb- -lrb-"),
    ("wait... what. . . no … .. ....", "wait what no"),
    ("- -- --- ---- ----- – —", "-----"),
    ("a*b ** \\* _x_ __", "a * b ** \\* _ x _ __"),
    ("?! ... !!! ?", "?! !!!"),
    ("a,b;c:d e", "a b c :d e"),
    ("end.Begin word.word p.a.", "end.begin word.word p.a."),
    ("`a' ``b'' ´c´ «d» ‹e› „f“", "a b ´ c ´ d e „ f"),
    ("café naïve ÉCOLE ß ﬁne", "café naïve école ß ﬁne"),
    ("日本語 한국어 Привет العربية", "日本語 한국어 привет العربية"),
    ("😀 a 👍🏽 b ♪ ☃ →", "a b ♪ ☃ →"),
    ("http://x.y/😀 a𝐀b", "http://x.y/😀 a b"),
    ("a\xadb \xad c\xa0d e\u200bf \ufeffg", "ab c d e f g"),
    ("x\x00y\x01z\x7fw\x9f", "x y z w"),
    ("u'a ']}] unclosed (paren", "u a -rsb- -rcb- -rsb- unclosed -lrb- paren"),
    ("\x93cp1252\x94 it\x92s \x85 \x80", "cp1252 it 's $"),
    ("=.[^x= a <> b ] c", "= -lsb- ^ x = a < > b -rsb- c"),
    ("  leading   and trailing  ", "leading and trailing"),
    (".", ""),
    ("a", "a"),
    ("", ""),
    ("I", "i"),
    ("ΟΔΟΣ İstanbul", "οδος i̇stanbul"),
]


@pytest.mark.parametrize(("caption", "tokens"), CASES)
def test_tokens_of_the_java_class(caption: str, tokens: str) -> None:
    assert tokenise([caption]) == [tokens]


def test_captions_are_lines_of_their_own() -> None:
    captions = [caption for caption, _ in CASES]
    assert tokenise(captions) == [tokenise([caption])[0] for caption in captions]
    # In one file, Java takes these for a number's abbreviation, an initial, and a tag over two lines.
    assert tokenise(["he says no.", "5 dogs"]) == ["he says no", "5 dogs"]
    assert tokenise(["plan B.", "The end "]) == ["plan b.", "the end"]
    assert tokenise(["<a b='c", "d'> e"]) == ["< a b = c", "d' > e"]


def test_words_taken_at_once_are_what_the_rules_make_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    captions = [caption for caption, _ in CASES] + odd_captions(1, 3000)
    at_once = tokenise(captions)
    monkeypatch.setattr(ptb, "PLAIN_WORDS", re.compile("(?!)"))
    assert at_once == tokenise(captions)


def test_lone_surrogates_are_read_as_the_replacement_character() -> None:
    assert tokenise(["a\ud800b \udc00 c"]) == ["a b c"]
    assert tokenise(["http://x.y/\ud83d/z"]) == ["http://x.y/\ufffd/z"]


def test_any_caption_becomes_one_line_of_text() -> None:
    for tokens in tokenise(odd_captions(2, 3000)):
        assert clean(tokens) == tokens == tokens.strip()
        tokens.encode()


def test_long_captions() -> None:
    assert tokenise(["a dog's bark, " * 10_000]) == [" ".join(["a dog 's bark"] * 10_000)]
    assert tokenise(["x" * 100_000 + "n't"]) == ["x" * 100_000 + " n't"]


@pytest.mark.java
@pytest.mark.parametrize("seed", range(4))
def test_odd_captions_against_java(seed: int) -> None:
    captions = odd_captions(seed, 2000)
    # Java asks its rules of where words break for the small form of a capital sigma inside a token.
    assert [_one_sigma(tokens) for tokens in tokenise(captions)] == [
        _one_sigma(tokens) for tokens in java_ptb.tokenise(captions)
    ]


@pytest.mark.java
def test_stored_tokens_are_still_java_s() -> None:
    assert java_ptb.tokenise([caption for caption, _ in CASES]) == [tokens for _, tokens in CASES]


@pytest.mark.java
def test_real_captions_against_java() -> None:
    captions = _real_captions()
    ours = tokenise(captions)
    assert ours == java_ptb.tokenise(captions)
    # As the COCO caption tools have them: all lines in one file.
    assert ours == [
        java_ptb.without_punctuation(line) for line in java_ptb.java_lines([clean(caption) for caption in captions])
    ]


def _one_sigma(tokens: str) -> str:
    return tokens.replace("ς", "σ")


def _real_captions() -> list[str]:
    """All distinct captions of AudioCaps and Clotho, in order, where ESPRET_TEST_DATA names a folder that has them."""
    root = Path(os.environ.get("ESPRET_TEST_DATA", ""), "csv")
    files = [path for corpus in ("audiocaps", "clotho") for path in sorted(root.glob(f"{corpus}*/*.csv*"))]
    if "ESPRET_TEST_DATA" not in os.environ or not files:
        pytest.skip("ESPRET_TEST_DATA names no folder with csv/audiocaps* or csv/clotho*")
    captions = set()
    for path in files:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        for row in csv.DictReader(io.StringIO(data.decode("utf-8", "replace"), newline="")):
            captions.update(text for name, text in row.items() if name and text and "caption" in name)
    return sorted(captions)
