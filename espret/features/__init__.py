"""Stage 1: dumping features to ark/scp by array jobs, merging the shards, and reading them back at random."""
