"""Sentence-BERT similarity and fluency errors: FENSE's parts."""
