#!/usr/bin/env bash
# egs/audiocaps: AudioCaps, ten-second clips of YouTube with the captions of people (local/data.py tells the story).
# Its sound is not public: bring it with --audio-dir DIR or --archives DIR, or fetch it with --youtube true.
#
#   ./run.sh --audio-dir /corpora/audiocaps                      # the captions of 2019, 49,838/495/975 clips
#   ./run.sh --audio-dir ... --test-sets "test test_ac957"       # another test set beside them: ac957, ac846, ac816
#   ./run.sh --audio-dir ... --variant "v1-fixed ac957"          # corrected training captions, the clips of WavCaps
#
# Clips that are missing are normal, about one in ten by now: --allow-missing says how many of a split may be, and the
# results table how many clips there were. Two small systems, one a task; `./run.sh --help` lists the options.
cd "$(dirname "${BASH_SOURCE[0]}")" || exit 1

. ../../utils/recipe.sh \
  --corpus audiocaps \
  --train-set train \
  --valid-set valid \
  --test-sets test \
  --allow-missing 15% \
  --retrieval-config conf/retrieval/small.yaml \
  --captioning-config conf/captioning/small.yaml \
  "$@"
