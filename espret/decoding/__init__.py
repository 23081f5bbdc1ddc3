"""Stage 4: captions by beam search; embeddings and similarities."""
