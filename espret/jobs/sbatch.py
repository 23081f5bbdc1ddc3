"""The script of a Slurm job: one bash file serves every task of an array. Submitting it is espret/jobs/queue.py's work.

The script writes the log in the parts that Kaldi's users know and, as its last act, the task's status file, atomically:
`STATUS_DIR/TASK.ATTEMPT` with what bash's `times` prints (CPU time: its own, then the command's) and lines
`name=value`. A task has succeeded only if such a file says `rc=0`.

With --warning SECONDS, for commands that save when USR1 comes, Slurm sends this script USR1 so long before the job's
time is over. It passes USR1 on; where the command then ends with EX_TEMPFAIL (75), the job is put into the queue again.
"""

from __future__ import annotations

import os
import shlex

from espret.jobs.spec import Request, extra_environment, shell_command, shell_template, shell_word

_SCRIPT = r"""#!/bin/bash
{comment}
task=$(( ${{SLURM_ARRAY_TASK_ID:-0}} + ${{1:-0}} ))
attempt=${{SLURM_RESTART_COUNT:-0}}
log={log}
status_file={status_dir}/"${{task}}.${{attempt}}"
threads={threads}
cd -- {cwd} || exit 1
{exports}if [ "${{CUDA_VISIBLE_DEVICES:-}}" = NoDevFiles ]; then unset CUDA_VISIBLE_DEVICES; fi
begin=$(date +%s.%N)
# A task that Slurm has requeued keeps what its first attempt wrote.
if [ "${{attempt}}" = 0 ]; then : > "${{log}}" || exit 1; fi
{{
  printf '# Running on %s\n# Started at %s\n' "$(hostname)" "$(LC_ALL=C date)"
  for name in $(compgen -v SLURM_); do printf '# %s=%s\n' "${{name}}" "${{!name}}"; done
  printf '%s\n#\n' {display}
}} >> "${{log}}"
# At its end the job's processes get TERM: the command ends, and this shell must live to write down how.
trap : TERM
set -o pipefail
{run}
end=$(date +%s.%N)
{{
  printf '# Accounting: begin_time=%s\n# Accounting: end_time=%s\n' "${{begin%.*}}" "${{end%.*}}"
  printf '# Accounting: time=%s threads=%s\n' "$(( ${{end%.*}} - ${{begin%.*}} ))" "${{threads}}"
  printf '# Finished at %s with status %s\n' "$(LC_ALL=C date)" "${{rc}}"
}} >> "${{log}}"
times > "${{status_file}}.tmp"
{{
  printf '%s\n' "rc=${{rc}}" "start=${{begin}}" "end=${{end}}" "host=$(hostname)" "slurm_id=${{SLURM_JOB_ID}}"
}} >> "${{status_file}}.tmp" && mv -f -- "${{status_file}}.tmp" "${{status_file}}"
{again}exit "${{rc}}"
"""

_RUN = r"""(
{command}
) >> "${{log}}" 2>&1 < /dev/null
rc=$?"""

# Bash acts on a signal at once only while it waits. What does not handle USR1 is not to die of it, so it starts with
# USR1 ignored; it is sent to the whole process group, this script's, for the command may be several processes (srun).
_RUN_WARNED = r"""trap '' USR1
(
{command}
) >> "${{log}}" 2>&1 < /dev/null &
child=$!
again=true
warn() {{ trap '' USR1; kill -s USR1 0; trap warn USR1; again=true; }}
trap warn USR1
trap 'again=true' TERM
while "${{again}}"; do
  again=false
  wait "${{child}}"
  rc=$?
done"""

# A job whose time is hardly longer than the warning would come back for ever and get nowhere.
_AGAIN = r"""if [ "${{rc}}" = {temporary} ] && [ "$(( ${{end%.*}} - ${{begin%.*}} ))" -lt {warning} ]; then
  echo 'slurm.py: error: stopped before it had run the {warning} s of --warning; needs a longer --time' >> "${{log}}"
elif [ "${{rc}}" = {temporary} ]; then
  requeued=false
  for pause in 0 2 5 15 30; do
    sleep "${{pause}}"
    scontrol requeue "${{SLURM_ARRAY_JOB_ID:-${{SLURM_JOB_ID}}}}${{SLURM_ARRAY_TASK_ID:+_${{SLURM_ARRAY_TASK_ID}}}}" \
      >> "${{log}}" 2>&1 && requeued=true && break
  done
  "${{requeued}}" || echo 'slurm.py: error: scontrol requeue failed; the same command goes on' >> "${{log}}"
fi
"""


class Files:
    """Where the files of a submission lie: `q/` beside the log. All paths are absolute."""

    def __init__(self, request: Request, token: str) -> None:
        path = os.path.abspath(request.log)
        folder, name = os.path.split(path)
        while request.job and request.job in os.path.basename(folder):  # a folder for each task: q/ lies above them
            folder, last = os.path.split(folder)
            name = f"{last}_{name}"
        self.folder = os.path.join(folder, "q")
        self.script = os.path.join(self.folder, f"{name}.sh")
        self.output = os.path.join(self.folder, f"{name}.out")
        self.job = os.path.join(self.folder, f"{name}.job")
        self.status_dir = os.path.join(self.folder, f"{name}.{token}")


def script(request: Request, files: Files, submitted: list[str]) -> str:
    """The text of the job's script; `submitted` is the command that submits it, kept as a comment."""
    job = request.job
    threads = request.number("num_threads")
    warning = request.number("warning")
    command = shell_template(request.words, job, "task")
    # The command in the log's head, as comment lines: the name of the job becomes the task there too.
    display = "# " + shell_command(list(request.words)).replace("\n", "\n# ")
    return _SCRIPT.format(
        comment="# submitted by slurm.py with: " + shlex.join(submitted).replace("\n", "\n# "),
        log=shell_word(os.path.abspath(request.log), job, "task"),
        status_dir=shlex.quote(files.status_dir),
        threads=threads or 1,
        cwd=shlex.quote(os.getcwd()),
        exports="".join(f"export {name}={value}\n" for name, value in extra_environment(request).items()),
        display=shell_word(display, job, "task"),
        run=(_RUN_WARNED if warning else _RUN).format(command=command),
        again=_AGAIN.format(temporary=os.EX_TEMPFAIL, warning=warning) if warning else "",
    )


def submissions(tasks: list[int], largest: int) -> list[tuple[int, list[int]]]:
    """Split tasks into arrays that a cluster takes: [(offset, indices)], task = offset + index.

    `largest` is Slurm's MaxArraySize: an index is at least 0 and below it. As far as it reaches, index and task agree.
    """
    chunks: dict[int, list[int]] = {}
    for task in tasks:
        offset = task // largest * largest
        chunks.setdefault(offset, []).append(task - offset)
    return sorted(chunks.items())
