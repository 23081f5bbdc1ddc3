"""The corpora that espret knows: one module each, with its download table (<corpus>.tsv) beside it.

A recipe names those it prepares in its local/data.py; `espret.data.corpus` says what a corpus is.
"""
