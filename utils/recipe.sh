# shellcheck shell=bash disable=SC2086,SC2154,SC2206
# SC2086, SC2206: runners and lists are words on purpose (`cpu_cmd="run.py --mem 4G"`); SC2154: option sets the variables.
#
# The stages that every recipe shares, from a corpus to a results table. A recipe's run.sh sources this file with the
# facts of its corpus and the user's options, which come last and win:
#
#   . ../../utils/recipe.sh --corpus mini --train-set train --valid-set valid --test-sets test ... "$@"
#
# `step` declares a piece of work: what it makes (`to` a folder, `file` a file), `from` what, which sections of a system's
# configuration it depends on (`conf FILE:SECTION`), and after `--` its commands, joined by `--then`. In a command, ${out}
# is where to write ({data/train} for one output of several) and {log} the folder for logs. Nothing runs here: the plan
# goes to espret.recipe, which skips what is fresh, runs the rest and keeps the ledger.

set -euo pipefail

. "$(dirname "${BASH_SOURCE[0]}")/parse_options.sh"

# ---------------------------------------------------------------------------------------------------------- options
option corpus "" "the corpus' name, in results"
option stage 0 "first stage to run"
option stop_stage 5 "last stage to run"
option skip_stages "" "stages to leave out, e.g. \"1 2\""
option task "retrieval captioning" "tasks to run"
option nj 2 "parallel CPU jobs of stages 0 and 1"
option inference_nj 2 "parallel jobs of stage 4, on GPUs also of stage 1"
option parse_nj 1 "parallel jobs that parse captions for SPICE in stage 5, each on all cores it gets; for clusters"
option caption_metrics "" "metrics of captions, e.g. \"CIDEr-D SPIDEr SPIDEr-max\"; empty: the usual ones"
option ngpu 0 "GPUs a node for training; 0: train on CPU"
option deterministic false "train with the same bits every time, on GPUs too; slower"
option num_nodes 1 "nodes for training (Slurm)"
option gpu_inference false "dump features and decode on GPUs, one for each of --inference-nj jobs"
option seeds "1" "one training run each, e.g. \"1 2 3\""
option dumpdir dump "folder for features and text"
option expdir exp "folder for experiments"
option retrieval_config "" "retrieval systems: YAML files"
option captioning_config "" "captioning systems: YAML files"
option train_set train "training set, a folder in data/; a mix of several: train+wavcaps"
option valid_set valid "validation set"
option test_sets test "test sets, e.g. \"test_a test_b\""
option local_data local/data.py "the corpus' clips: a file with CORPORA, or a function clips()"
option variant "" "variant of the corpus, e.g. v1.ac957; a set's name may say its own: test_ac957"
option archives "" "folder with the corpus' official files, used instead of downloading them"
option audio_dir "" "folder with the sound files, used instead of the archives that hold them"
option downloads downloads "folder for what is downloaded and extracted"
option sources "" "download table (TSV) whose rows replace the corpus' own: a mirror, a part"
option bad_caption error "captions that are none: error, drop or keep"
option youtube false "fetch sound that lies on YouTube, by yt-dlp and ffmpeg"
option youtube_jobs 4 "clips fetched from YouTube at a time"
option cookies "" "cookies for yt-dlp: a file, or browser:NAME"
option allow_missing 0 "clips that may be missing or damaged: a number, or a share of each set, e.g. 15%"
option python "${ESPRET_PYTHON:-python3}" "interpreter, with espret installed"
option force false "make the chosen stages again, fresh or not"
option dry_run false "print the commands, run nothing"
option status false "show each stage: done, stale, running, failed"
option list false "list the stages, what they read and leave"
parse_options "$@"

for name in stage stop_stage nj inference_nj parse_nj ngpu num_nodes youtube_jobs; do
  [[ "${!name}" =~ ^(0|[1-9][0-9]*)$ ]] || option_error "--${name//_/-} is a number, not '${!name}'"
done
for name in seeds test_sets task train_set valid_set; do
  [[ -n "${!name// /}" ]] || option_error "--${name//_/-} is empty"
done
for name in skip_stages seeds; do
  [[ "${!name}" =~ ^[0-9\ ]*$ ]] || option_error "--${name//_/-} is a list of numbers, not '${!name}'"
done
for name in ${task}; do
  [[ "${name}" == retrieval || "${name}" == captioning ]] ||
    option_error "--task is retrieval, captioning or both, not '${name}'"
done
[[ "${allow_missing}" =~ ^[0-9]+$|^[0-9]+(\.[0-9]+)?%$ ]] ||
  option_error "--allow-missing is a number of clips, or a share of each set such as 15%, not '${allow_missing}'"
[[ "${bad_caption}" =~ ^(error|drop|keep)$ ]] || option_error "--bad-caption is error, drop or keep, not '${bad_caption}'"
if ((stage == 0)); then # later ones do not read these
  for name in archives audio_dir; do
    [[ -z "${!name}" || -d "${!name}" ]] || option_error "--${name//_/-} ${!name}: no such folder, seen from ${PWD}"
  done
  [[ -z "${sources}" || -f "${sources}" ]] || option_error "--sources ${sources}: no such file, seen from ${PWD}"
fi
if ((nj == 0 || inference_nj == 0 || parse_nj == 0)); then
  option_error "--nj, --inference-nj and --parse-nj are at least 1"
fi
if ((num_nodes > 1 && ngpu == 0)); then option_error "--num-nodes ${num_nodes} needs --ngpu (GPUs a node)"; fi

if [[ "${python}" != python3 ]]; then # the user's own, used as it is
  ESPRET_PYTHON=$(command -v "${python}") || option_error "--python ${python}: no such interpreter"
  (cd / && "${ESPRET_PYTHON}" -c 'import espret') ||
    option_error "--python ${python} does not import espret; install it there: ${python} -m pip install --editable DIR"
fi
. "$(dirname "${BASH_SOURCE[0]}")/../path.sh" # installs espret where it is not installed yet
. "${ESPRET_ROOT}/cmd.sh"
export ESPRET_PYTHON=${ESPRET_PYTHON:-$(command -v python3)}

# ------------------------------------------------------------------------------------------------------------- plan
plan=()
out="{out}" log="{log}" # filled in by espret.recipe, which knows where a step writes until it is done
record() { plan+=("$1" "$(($# - 1))" "${@:2}"); }
stage() { record @stage "$@"; } # stage NUMBER NAME PURPOSE
step() { record @step "$@"; }
show() { record @show "$@"; } # a command whose output ends the stage, e.g. the results table

read -ra tests <<<"${test_sets}"
splits=() parts=() # each once: the validation set may be a test set too; a mix is made of parts
for split in "${train_set}" "${valid_set}" "${tests[@]}"; do
  [[ " ${splits[*]-} " == *" ${split} "* ]] || splits+=("${split}")
  for part in ${split//+/ }; do
    [[ " ${parts[*]-} " == *" ${part} "* ]] || parts+=("${part}")
  done
done

# The systems: task_name, with configuration file, feature and text names.
systems=()
declare -A task_of config_of feats_of text_of file_of expert_of weights_of
configs=()
for name in ${task}; do
  config=${name}_config
  configs+=("${name}" "${!config}")
done
system_rows=$("${ESPRET_PYTHON}" -m espret.recipe.systems "${configs[@]}")
while IFS=$'\t' read -r name system config feats text file expert weights; do
  [[ -n "${name}" ]] || option_error "no system: name one by --retrieval-config or --captioning-config"
  system=${name}_${system}
  systems+=("${system}")
  task_of[${system}]=${name} config_of[${system}]=${config}
  feats_of[${system}]=${dumpdir}/${feats} text_of[${system}]=${dumpdir}/text/${text}
  file_of[${system}]=${file} expert_of[${system}]=${expert} weights_of[${system}]=${weights}
done <<<"${system_rows}"

train_cmd="${train_cmd:-${cuda_cmd}} --gpu ${ngpu}" launch=() # a cmd.sh of one's own may have no train_cmd
exact=()
if "${deterministic}"; then exact=(--deterministic); fi
if ((num_nodes > 1)); then
  command -v srun >/dev/null || option_error "--num-nodes ${num_nodes} needs Slurm (no srun on PATH)"
  train_cmd+=" --num-nodes ${num_nodes}"
  # The job script runs on one node; this takes the command to each. Where one node's part ends, the others soon end too.
  launch=(srun --export=ALL "--nodes=${num_nodes}" --ntasks-per-node=1 --wait=60)
fi
if "${gpu_inference}"; then
  infer_cmd="${cuda_cmd} --gpu 1" infer_ngpu=1 dump_cmd="${cuda_cmd} --gpu 1" dump_nj=${inference_nj}
else
  infer_cmd=${decode_cmd} infer_ngpu=0 dump_cmd=${cpu_cmd} dump_nj=${nj}
fi

# ----------------------------------------------------------------------------------------------------------- stages
stage 0 data "prepare the corpus: files fetched and verified, data directories, every clip decoded once, leaks found"
outputs=() named=() partial=()
for part in "${parts[@]}"; do
  outputs+=(to "data/${part}")
  named+=(--split "${part}={data/${part}}")
  partial+=("{data/${part}}")
done
inputs=(from "${local_data}") # and the tables beside it, if the recipe keeps such
for file in "$(dirname "${local_data}")"/*.{csv,tsv,txt,json,jsonl}; do
  if [[ "${local_data}" == */* && -f "${file}" ]]; then inputs+=(from "${file}"); fi
done
if [[ -f "${sources}" ]]; then inputs+=(from "${sources}"); fi
corpus_options=(--function "${local_data}" "${named[@]}" --corpus "${corpus}" --downloads "${downloads}"
  ${variant:+--variant "${variant}"} ${archives:+--archives "${archives}"} ${audio_dir:+--audio-dir "${audio_dir}"}
  ${sources:+--sources "${sources}"} --bad-caption "${bad_caption}"
  --youtube "${youtube}" --youtube-jobs ${youtube_jobs} ${cookies:+--cookies "${cookies}"})
# Files are fetched on this machine: compute nodes often have no connection.
step "${outputs[@]}" follow "${inputs[@]}" \
  -- run.py "${log}/fetch.log" espret fetch-corpus "${corpus_options[@]}" \
  --then ${cpu_cmd} "${log}/prepare.log" \
  espret prepare "${corpus_options[@]}" --work "${log}" --issues data/data_issues.tsv \
  --then ${cpu_cmd} JOB=1:${nj} "${log}/check_audio.JOB.log" \
  espret check-audio --shard JOB/${nj} --work "${log}" "${partial[@]}" \
  --then ${cpu_cmd} "${log}/finish_data.log" \
  espret finish-data --allow-missing ${allow_missing} --work "${log}" --issues data/data_issues.tsv "${partial[@]}"
for split in "${splits[@]}"; do
  if [[ "${split}" == *+* ]]; then
    mixed=() from_mixed=()
    for part in ${split//+/ }; do
      mixed+=("data/${part}") from_mixed+=(from "data/${part}")
    done
    step to "data/${split}" "${from_mixed[@]}" \
      -- ${cpu_cmd} "${log}/combine_data.log" espret combine-data --out "${out}" "${mixed[@]}"
  fi
done
declared=() from_declared=() # overlaps between sets that this recipe knows of
if [[ -f conf/leaks.yaml ]]; then declared=(--declared conf/leaks.yaml) from_declared=(from conf/leaks.yaml); fi
held_out=() from_held_out=()
for split in "${splits[@]}"; do
  if [[ "${split}" != "${train_set}" ]]; then held_out+=(--test "data/${split}") from_held_out+=(from "data/${split}"); fi
done
if ((${#held_out[@]})); then
  step file data/leaks.json from "data/${train_set}" "${from_held_out[@]}" "${from_declared[@]}" \
    -- ${cpu_cmd} "${log}/leaks.log" \
    espret leaks --train "data/${train_set}" "${held_out[@]}" "${declared[@]}" --out "${out}"
fi

stage 1 features "dump what the systems hear to ark/scp, or import features that others have published"
for system in "${systems[@]}"; do
  config=${config_of[${system}]} feats=${feats_of[${system}]}
  for split in "${splits[@]}"; do
    if [[ "${file_of[${system}]}" != - ]]; then
      step to "${feats}/${split}" from "data/${split}" from "${file_of[${system}]}" conf "${config}:features" \
        -- ${cpu_cmd} "${log}/import_features.log" \
        espret import-features --from "${file_of[${system}]}" --name "${expert_of[${system}]#-}" \
        --data "data/${split}" --out "${out}"
      continue
    fi
    from_weights=()
    if [[ "${weights_of[${system}]}" != - ]]; then from_weights=(from "${weights_of[${system}]}"); fi
    step to "${feats}/${split}" from "data/${split}" "${from_weights[@]}" conf "${config}:features" \
      -- ${dump_cmd} JOB=1:${dump_nj} "${log}/dump.JOB.log" \
      espret dump --config "${config}" --data "data/${split}" --ngpu ${infer_ngpu} --out "${out}" --shard JOB/${dump_nj} \
      --then ${cpu_cmd} "${log}/merge_dump.log" \
      espret merge-dump "${out}"
  done
done

stage 2 text "normalise the captions, make vocabulary or tokenizer from the training set"
for system in "${systems[@]}"; do
  config=${config_of[${system}]} text=${text_of[${system}]}
  step to "${text}" from "data/${train_set}" conf "${config}:text" \
    -- ${cpu_cmd} "${log}/text.log" \
    espret text --config "${config}" --data "data/${train_set}" --out "${out}"
done

stage 3 train "train each system, one run a seed"
check_mix=() # a mix is looked at once more where stage 0 did not make it
if [[ "${train_set}" == *+* ]] && ((${#held_out[@]})); then
  check_mix=(${cpu_cmd} "${log}/leaks.log" espret leaks --train "data/${train_set}" "${held_out[@]}" "${declared[@]}" --then)
fi
for system in "${systems[@]}"; do
  config=${config_of[${system}]} feats=${feats_of[${system}]} text=${text_of[${system}]}
  for seed in ${seeds}; do
    step to "${expdir}/${system}/seed${seed}" follow \
      from "data/${train_set}" from "data/${valid_set}" \
      from "${feats}/${train_set}" from "${feats}/${valid_set}" from "${text}" \
      conf "${config}:features" conf "${config}:text" conf "${config}:model" conf "${config}:train" \
      -- "${check_mix[@]}" ${train_cmd} "${log}/train.log" \
      "${launch[@]}" espret train --task "${task_of[${system}]}" --config "${config}" --seed ${seed} --ngpu ${ngpu} --num-nodes ${num_nodes} "${exact[@]}" \
      --train-data "data/${train_set}" --train-feats "${feats}/${train_set}" \
      --valid-data "data/${valid_set}" --valid-feats "${feats}/${valid_set}" --text "${text}" --out "${out}"
  done
done

stage 4 decode "captions by beam search; embeddings and similarities"
for system in "${systems[@]}"; do
  config=${config_of[${system}]} feats=${feats_of[${system}]} text=${text_of[${system}]}
  for seed in ${seeds}; do
    for split in "${tests[@]}"; do
      exp=${expdir}/${system}/seed${seed}
      work=(to "${exp}/decode_${split}" from "${exp}" from "data/${split}" from "${feats}/${split}" from "${text}"
        conf "${config}:decode")
      common=(--config "${config}" --exp "${exp}" --data "data/${split}" --feats "${feats}/${split}" --text "${text}")
      if [[ "${task_of[${system}]}" == captioning ]]; then
        step "${work[@]}" \
          -- ${infer_cmd} JOB=1:${inference_nj} "${log}/caption.JOB.log" \
          espret caption "${common[@]}" --ngpu ${infer_ngpu} --shard JOB/${inference_nj} --out "${out}" \
          --then ${cpu_cmd} "${log}/merge_captions.log" \
          espret merge-captions "${out}"
      else
        step "${work[@]}" \
          -- ${infer_cmd} "${log}/embed.log" \
          espret embed "${common[@]}" --ngpu ${infer_ngpu} --out "${out}"
      fi
    done
  done
done

stage 5 score "retrieval metrics, SPIDEr and its family; RESULTS.md and report.html"
scores=()
for system in "${systems[@]}"; do
  for seed in ${seeds}; do
    for split in "${tests[@]}"; do
      exp=${expdir}/${system}/seed${seed} parse=()
      if [[ "${task_of[${system}]}" == captioning ]]; then
        captions=(--hyp "${exp}/decode_${split}/hyp.jsonl" --ref "data/${split}")
        score=(score-captions --allow-unavailable "${captions[@]}" ${caption_metrics:+--metrics ${caption_metrics}})
        if ((parse_nj > 1)); then # else score-captions parses
          parse=(${cpu_cmd} JOB=1:${parse_nj} "${log}/parse.JOB.log"
            espret parse-captions "${captions[@]}" --shard JOB/${parse_nj} --then)
        fi
      else
        score=(score-retrieval --decode "${exp}/decode_${split}" --data "data/${split}")
      fi
      overlap=(--)
      if [[ "${split}" != "${train_set}" ]]; then # what of the test set the system was trained on stands beside its scores
        overlap=(from "data/${train_set}" "${from_declared[@]}"
          -- ${cpu_cmd} "${log}/leaks.log"
          espret leaks --train "data/${train_set}" --test "data/${split}" "${declared[@]}" --out "${out}/leaks.json" --then)
      fi
      step to "${exp}/score_${split}" from "${exp}/decode_${split}" from "data/${split}" \
        "${overlap[@]}" "${parse[@]}" ${cpu_cmd} "${log}/score.log" \
        espret "${score[@]}" --out "${out}"
      scores+=("${exp}/score_${split}")
    done
  done
done
# The table and the report hold every score in ${expdir}, also those of earlier runs with other systems or seeds.
for score in "${expdir}"/*/seed*/score_*/; do
  if [[ -f "${score}.espret.json" ]]; then scores+=("${score%/}"); fi
done
readarray -t scores < <(printf '%s\n' "${scores[@]}" | sort -u)
from_scores=() from_runs=()
for score in "${scores[@]}"; do
  from_scores+=(from "${score}")
  from_runs+=(from "${score}" from "${score%/*}")
done
step file results.jsonl "${from_scores[@]}" \
  -- ${cpu_cmd} "${log}/collect.log" espret collect --corpus "${corpus}" --out "${out}" "${scores[@]}"
step file RESULTS.md from results.jsonl \
  -- ${cpu_cmd} "${log}/table.log" espret table --results results.jsonl --out "${out}"
step file report.html from results.jsonl "${from_runs[@]}" \
  -- ${cpu_cmd} "${log}/report.log" espret report --results results.jsonl --out "${out}" "${scores[@]}"
show espret table --print --results results.jsonl
show echo "table: ${PWD}/RESULTS.md   report: ${PWD}/report.html   values: ${PWD}/results.jsonl"

stage 6 pack "off by default (--stop-stage 6): one archive a system and seed, for espret apply"
for system in "${systems[@]}"; do
  config=${config_of[${system}]} text=${text_of[${system}]}
  for seed in ${seeds}; do
    exp=${expdir}/${system}/seed${seed}
    scores=() from_scores=()
    for split in "${tests[@]}"; do
      scores+=("${exp}/score_${split}")
      from_scores+=(from "${exp}/score_${split}")
    done
    step to "${exp}/packed" from "${exp}" from "${text}" "${from_scores[@]}" conf "${config}:decode" \
      -- ${cpu_cmd} "${log}/pack.log" \
      espret pack --exp "${exp}" --text "${text}" --corpus "${corpus}" --config "${config}" --out "${out}" "${scores[@]}"
  done
done

# -------------------------------------------------------------------------------------------------------------- run
exec "${ESPRET_PYTHON}" -m espret.recipe --plan <(printf '%s\0' "${plan[@]}") \
  --stage "${stage}" --stop-stage "${stop_stage}" --skip-stages "${skip_stages}" \
  --force "${force}" --status "${status}" --list "${list}" --dry-run "${dry_run}"
