"""Extracting archives from outside: `extract` checks and writes; `formats`, `seven_zip` and `split_zip` read them."""
