"""The files that a corpus is made of.

`table` reads which there are, `sources` brings them, `verified` checks each once, `extracted` unpacks archives once.
"""
