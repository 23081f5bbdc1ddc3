"""Stage 0: data directories, audio reading, preparation of a corpus and its checks.

`corpus` says what a corpus is, `corpora` has those that espret knows, `local` a recipe's own; their files come by
`sources`, `archives` and `youtube`, and are read by `csv_file`, `pickles` and `audio_index`. `tables` and `datadir`
read and write data directories, `validate` checks them, `split` shares them out to tasks, `combine` puts some together,
`leaks` compares them; `audio` and `truncation` read sound files. `prepare`, `check` and `finish` are the steps.
"""
