#!/usr/bin/env bash
# egs/activitynet: ActivityNet Captions, YouTube videos with a few sentences about each (local/data.py tells the story).
#
#   train   9,509 of the 10,009 videos of the list `train`
#   valid   the other 500, held out here, for the lists have no validation set
#   val_1   4,917 videos, what papers call the test set; `val_2` has other captions of most of them
#
# Sound, of which there are 849 hours, is not public: bring it with --audio-dir DIR or --archives DIR, or fetch it with
# --youtube true; the two small systems hear it. Without any, stage 0 makes data directories for imported features
# (`espret import-features`). `--variant official --valid-set val_1` trains on all 10,009 and selects on the test set,
# as published results did. `./run.sh --help` lists the options.
cd "$(dirname "${BASH_SOURCE[0]}")" || exit 1

. ../../utils/recipe.sh \
  --corpus activitynet \
  --train-set train \
  --valid-set valid \
  --test-sets val_1 \
  --allow-missing 20% \
  --retrieval-config conf/retrieval/small.yaml \
  --captioning-config conf/captioning/small.yaml \
  "$@"
