"""Captions made of what makes tokenizers stumble, joined at random: the same ones for a seed on every machine."""

from __future__ import annotations

import random

WORDS = "a dog barks the man is speaking while water runs in distance and Birds chirping loudly with engine"
PIECES = """
    . .. ... .... ..... , ; : ! ? ?! - -- --- ---- ----- _ __ * ** \\* / \\/ \\ + ++ = == ~ ^ & @ @@ # ## % $ |
    ( ) [ ] { } < > << >> &amp; &AMP; &lt; &gt; &quot; &apos; &nbsp; &mdash; &MD; &#12; &eacute; &Auml; &foo;
    " ' '' ` `` “ ” ‘ ’ ‛ ‚ „ « » ‹ › ´ … – — £ € ¢ ¥ ¤ ₤ ° ² ³ ¹ ⁺ ₂ ½ ¼ ⅓ ⅔ ⅛ ⁄ § ¶ © ® ™ ℃ ª º µ ¿ ¡ ¦ • ·
    <b> </b> <br/> <a> :) :-) ;) :D :p =) :( :'( >:) <3 ^_^ -_- (^_^) (-.-) (x-x) x_x
    a A b I n N d D l L o O y Y s t m re ve ll em S J is the The THE dog Dog DOG
    cannot Cannot gonna GOTTA wanna lemme gimme 'tis 'Twas ’tis dunno y'all Y’all can't don’t isn't won`t n't N'T it's
    dog's dogs' 'em 'n' ’n’ rock o'clock O'o ol' Dunkin' c'mon cont'd cont'd. e'er ev'ry li'l nat'l nor'easter s'mores
    d'Avignon l'eau Cap'n c'est 'cause 'till '80s '99 90s
    0 1 2 5 10 12 123 1234 12345 3.5 .5 ,5 1,000 1,000.5 12:30 1/2 3/4 1\\/2 12/25/2013 2013-11-20 -5 +5 555-1212
    (415) 415.555.1212 1st 2nd 3D 4x4 16kHz 44.1kHz 5%
    No. no. Nos. fig. figs. p.m. P.M. a.m A.M. U.S. U.S u.s. U.K. U.S.S.R. U.S.-U.K. Japan-U.S. non-U.S e.g. i.e. a.k.a.
    Ph.D. Ed.D. B.A. J.R.R. Mr. mr. Mrs. Miss. Dr. Drs. St. Ste. Mt. Lt. Gen. Jr. Sr. Bros. Inc. inc. Co. co. Cos. Ltd.
    ltd. pty. PTE. vs. etc. al. approx. est. ext. tel. sq. ca. art. bldg. pp. op. prop. Jan. Feb. Sept. Mon. Tues. Ala.
    Mass. mass. La. la. Pa. Tex. Ill. ill. About At It In He Her Here However They Their Many Mr
    http:// https:// http://a.b/c?d=e&f HTTP://X.Y. www. www.x.com a.com x.co.uk foo.org/bar .com a@b a@b.com <a@b.com>
    @user #tag foo.txt x.html song.mp3 song.wav a.c c++ C# AT&T R&D AT&amp;T S&P-500 S&Ls A+B pro- anti- co-ed
    high-pitched X-ray up-and-down and/or he/she w/o 24/7 km/h -LRB- -rrb-
    é É ü ñ ß ﬁ Ω ΟΔΟΣ İ ı ſ K Я ж ﷺ 日本 語 한국 ท่ हिन्दी العربية ٣ ٫ Ⅳ ⅳ Ⓐ ǅ
    😀 👍🏽 🇺🇸 𝐀 ☃ ♪ → ∞ ≠ ✓ ■ ※ 、 。 ・ ！ （ Ａ ０
    """
SPACED = ["3 1/2", "(415) 555-1212", "+1 415 555 1212", "Pty. Ltd.", "et al.", ". . .", '<a href="x y">', "U.S. The "]
UNSEEN = [*"\x80\x85\x91\x92\x93\x94\x96\xa0\xad\u0301\u0378\u1885\u2003\u200b\u200d\u200e\u2028\u3000\ufeff\ufffd"]
CONTROL = [*"\x00\x01\x07\x1b\x1f\x7f\x81\x9f\t\r\n"]
ALL = PIECES.split() + SPACED + UNSEEN + CONTROL
ORDINARY = WORDS.split()
# What joins pieces to something, more often than the rest.
JOINTS = [" "] * 60 + ["'", ".", "-", ","] * 4


def odd_captions(seed: int, count: int) -> list[str]:
    """`count` captions: pieces run together, pieces among words, pieces inside words, and characters at random."""
    chance = random.Random(seed)
    return [_MAKERS[number % len(_MAKERS)](chance) for number in range(count)]


def _run_together(chance: random.Random) -> str:
    return "".join(chance.choice(ALL + JOINTS) for _ in range(chance.randint(1, 20)))


def _among_words(chance: random.Random) -> str:
    return " ".join(chance.choice(chance.choice([ALL, ORDINARY])) for _ in range(chance.randint(2, 12)))


def _inside_words(chance: random.Random) -> str:
    text = list(" ".join(chance.choice(ORDINARY) for _ in range(chance.randint(2, 12))))
    for _ in range(chance.randint(1, 4)):
        text.insert(chance.randrange(len(text) + 1), chance.choice(ALL))
    return "".join(text)


def _characters(chance: random.Random) -> str:
    blocks = [(0x20, 0x7F), (0x20, 0x7F), (0, 0x100), (0x2000, 0x2100), (0x20, 0xD800)]
    return "".join(chr(chance.randrange(*chance.choice(blocks))) for _ in range(chance.randint(1, 20)))


_MAKERS = (_run_together, _among_words, _inside_words, _run_together, _characters)
