"""The tokenisation under every caption metric (CoreNLP's PTBTokenizer) in Python."""
