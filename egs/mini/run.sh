#!/usr/bin/env bash
# egs/mini: synthetic sound scenes that espret generates itself (local/data.py); offline, on CPU, in minutes.
# Two small systems, one a task, with the modules that the large ones use. `./run.sh --help` lists the options.
cd "$(dirname "${BASH_SOURCE[0]}")" || exit 1

. ../../utils/recipe.sh \
  --corpus mini \
  --train-set train \
  --valid-set valid \
  --test-sets test \
  --retrieval-config conf/retrieval/mini.yaml \
  --captioning-config conf/captioning/mini.yaml \
  "$@"
