"""The script of a Slurm job: one bash file serves every task of an array. Submitting it is espret/jobs/queue.py's work.

The script writes the log in the parts that Kaldi's users know and, as its last act, the task's status file, atomically:
`STATUS_DIR/TASK.ATTEMPT` with what bash's `times` prints (CPU time: its own, then the command's) and lines
`name=value`. A task has succeeded only if such a file says `rc=0`.
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
(
{command}
) >> "${{log}}" 2>&1 < /dev/null
rc=$?
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
exit "${{rc}}"
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
        command=shell_template(request.words, job, "task"),
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
