#!/usr/bin/env bash
# egs/clotho: Clotho v2.1, sounds of 15-30 s from Freesound with five captions each; local/data.py tells its story.
#
#   train   development split, 3,839 clips, 24.0 h
#   valid   validation split, 1,045 clips, 6.6 h
#   test    evaluation split, 1,045 clips, 6.5 h
#
# Stage 0 downloads 6.5 GB from Zenodo and extracts 12 GB of WAV; with --archives DIR it takes the official files from
# there, with --audio-dir DIR extracted sounds. The two small systems train on two CPU cores in 20-25 minutes each.
# `--variant v1` or `v2` takes an earlier version, `--train-set train_gpt` adds captions made by a language model,
# `--train-set train+wavcaps` the sounds of WavCaps without those of Clotho. `./run.sh --help` lists the options.
cd "$(dirname "${BASH_SOURCE[0]}")" || exit 1

. ../../utils/recipe.sh \
  --corpus clotho \
  --train-set train \
  --valid-set valid \
  --test-sets test \
  --retrieval-config conf/retrieval/small.yaml \
  --captioning-config conf/captioning/small.yaml \
  "$@"
