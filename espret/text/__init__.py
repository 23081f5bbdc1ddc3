"""Stage 2: captions as tokens. Normalisation, tokenizers, and what is saved of them in `dump/text/<name>`."""

from espret.registry import Registry

# A tokenizer has train(captions), encode(caption) -> ids, decode(ids) -> caption, save(folder), load(folder), len();
# the ids of the special tokens are the same for all (tokenizers.PAD, BOS, EOS, UNK).
TOKENIZERS = Registry(
    "tokenizer",
    {
        "word": "espret.text.tokenizers:WordTokenizer",
        "bpe": "espret.text.tokenizers:BpeTokenizer",
        "unigram": "espret.text.tokenizers:UnigramTokenizer",
        "huggingface": "espret.text.pretrained:HuggingFaceTokenizer",
    },
)
