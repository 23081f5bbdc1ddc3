"""Stage 5's outputs: `results` (results.jsonl), `table` (RESULTS.md, the terminal) and `page` (report.html).

Light parts first: collecting and tabulating use the standard library alone; only the page reads audio and draws.
"""
