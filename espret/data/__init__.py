"""Stage 0: data directories, audio reading, preparation of a corpus and its checks.

`tables` and `datadir` read and write the files, `validate` checks them, `split` shares them out to tasks; `audio` and
`truncation` read sound files; `prepare`, `check` and `finish` are the three steps of stage 0.
"""
