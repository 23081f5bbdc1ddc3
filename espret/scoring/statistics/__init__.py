"""Whether systems differ: score directories read back, intervals and tests."""
