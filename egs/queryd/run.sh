#!/usr/bin/env bash
# egs/queryd: QuerYD, YouTube videos narrated for blind people (local/data.py tells the story).
# Its sound is not public: bring it with --audio-dir DIR or --archives DIR, or fetch it with --youtube true.
#
#   ./run.sh --audio-dir /corpora/queryd                       # whole videos, 1,796/384/386
#   ./run.sh --audio-dir ... --variant segments                # stretches of them as published, 9,113/1,952/1,954:
#                                                              # most test videos are in training, conf/leaks.yaml
#   ./run.sh --audio-dir ... --variant "segments by-video"     # stretches divided by video, 8,896/2,404/1,719
#
# Videos that are gone from YouTube are normal: --allow-missing says how many clips of a split may be missing, and the
# results table how many there were. Two small systems, one a task; `./run.sh --help` lists the options.
cd "$(dirname "${BASH_SOURCE[0]}")" || exit 1

. ../../utils/recipe.sh \
  --corpus queryd \
  --train-set train \
  --valid-set valid \
  --test-sets test \
  --allow-missing 20% \
  --retrieval-config conf/retrieval/small.yaml \
  --captioning-config conf/captioning/small.yaml \
  "$@"
