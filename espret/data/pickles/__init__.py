"""Pickles from outside, read without running anything: `load` is for others, `machine` interprets, `names` allows."""
