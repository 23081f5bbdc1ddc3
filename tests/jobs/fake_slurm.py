"""A Slurm of a few lines, for the paths that a real one takes only when something breaks: `fake_slurm.py sbatch ...`.

sbatch runs every task of an array at once, squeue and scontrol tell what became of them. A file plan.json in the folder
$FAKE_SLURM says what goes wrong: {"down": {"sbatch": 2}} (so many calls find no controller), "lost_answer" (so many
submissions are accepted without an answer), "refuse" (why sbatch refuses, from its second call on), "max_array",
"wrapper" (what a site's sbatch prints besides), "tasks": {"3": {"state": ..., "reason": ..., "says": ...}} (does not
run), {"3": {"requeue": true}} (its first attempt is killed). Each call is a line in `calls`.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(os.environ["FAKE_SLURM"])
UNREACHABLE = "Unable to contact slurm controller (connect failure)"


def load(name: str, default: Any) -> Any:
    return json.loads((ROOT / name).read_text()) if (ROOT / name).exists() else default


def save(name: str, value: Any) -> None:
    (ROOT / name).write_text(json.dumps(value))


def indices(text: str) -> list[int]:
    ends = [part.split("-") for part in text.partition("%")[0].split(",")]
    return [index for first, *last in ends for index in range(int(first), int((last or [first])[0]) + 1)]


def attempt(job: dict[str, Any], index: int, number: int) -> int:
    environment = {**os.environ, "SLURM_JOB_ID": f"{job['id']}{index:03d}", "SLURM_JOB_NAME": "x"}
    if job["array"]:
        environment["SLURM_ARRAY_TASK_ID"] = str(index)
    if number:
        environment["SLURM_RESTART_COUNT"] = str(number)
    with open(job["output"], "a") as output:
        return subprocess.run(job["command"], env=environment, stdout=output, stderr=output, check=False).returncode


def run(job: dict[str, Any], index: int, plan: dict[str, Any]) -> list[str]:
    if plan.get("requeue"):
        attempt(job, index, 0)
        return ["REQUEUE", ""]
    if "state" in plan:
        if "says" in plan:
            Path(job["log"] % index).write_text(f"# SLURM_JOB_ID={job['id']}{index:03d}\n")
            Path(job["output"]).write_text(plan["says"] % f"{job['id']}{index:03d}" + "\n")
        return [plan["state"], plan.get("reason", "None")]
    return ["COMPLETED", "None"] if attempt(job, index, 0) == 0 else ["FAILED", "NonZeroExitCode"]


def sbatch(words: list[str], plan: dict[str, Any]) -> int:
    jobs = load("jobs.json", {})
    if jobs and "refuse" in plan:
        print(f"sbatch: error: {plan['refuse']}", file=sys.stderr)
        return 1
    options = dict(word[2:].partition("=")[::2] for word in words if word.startswith("--"))
    script = next(number for number, word in enumerate(words) if word.endswith(".sh"))
    job: dict[str, Any] = {
        "id": str(100 + len(jobs)),
        "comment": options["comment"],
        "array": options.get("array", ""),
        "output": options["output"].replace("%%", "%"),
        "command": words[script:],
        "log": words[script].removesuffix(".sh").replace("/q/", "/").replace("JOB", "%d"),
    }
    os.chdir(options["chdir"])
    every = indices(job["array"]) if job["array"] else [0]
    job["tasks"] = {index: run(job, index, plan.get("tasks", {}).get(str(index), {})) for index in every}
    save("jobs.json", {**jobs, job["id"]: job})
    if plan.get("lost_answer", 0) > len(jobs):
        print("sbatch: error: Batch job submission failed: Socket timed out on send/recv operation", file=sys.stderr)
        return 1
    print(plan.get("wrapper", "") + job["id"])
    return 0


def squeue(words: list[str], plan: dict[str, Any]) -> int:
    jobs = load("jobs.json", {})
    if "-j" not in words:
        print("\n".join(f"{job['id']}|{job['comment']}" for job in jobs.values()))
        return 0
    asked = [jobs[name] for name in words[words.index("-j") + 1].split(",") if name in jobs]
    if not asked:
        print("slurm_load_jobs error: Invalid job id specified", file=sys.stderr)
        return 1
    for job in asked:
        for index, (state, reason) in job["tasks"].items():
            if state == "REQUEUE":
                job["tasks"][index] = ["REQUEUED", ""]
                state = "PENDING"
            elif state == "REQUEUED":
                attempt(job, int(index), 1)
                job["tasks"][index] = [state := "COMPLETED", "None"]
            if state != "GONE":
                print(f"{job['id']}{'_' + index if job['array'] else ''}|{state}|{reason}")
    save("jobs.json", jobs)
    return 0


def scancel(words: list[str], plan: dict[str, Any]) -> int:
    jobs = load("jobs.json", {})
    for word in words:
        name, _, only = word.partition("_")
        for index, (state, _) in jobs[name]["tasks"].items():
            if state in ("RUNNING", "PENDING") and only in ("", index):
                jobs[name]["tasks"][index] = ["CANCELLED", "None"]
    save("jobs.json", jobs)
    return 0


def sacct(words: list[str], plan: dict[str, Any]) -> int:
    if "sacct" not in plan:
        print("Slurm accounting storage is disabled", file=sys.stderr)
        return 1
    print(plan["sacct"])
    return 0


def scontrol(words: list[str], plan: dict[str, Any]) -> int:
    print(f"Configuration data\nMaxArraySize            = {plan.get('max_array', 1001)}")
    return 0


def main() -> int:
    name, words = sys.argv[1], sys.argv[2:]
    plan = load("plan.json", {})
    with open(ROOT / "calls", "a") as stream:
        stream.write(json.dumps([name, *words]) + "\n")
    calls = sum(bool(re.match(rf'\["{name}"', line)) for line in (ROOT / "calls").read_text().splitlines())
    if calls <= plan.get("down", {}).get(name, 0):
        print(f"{name}: error: {UNREACHABLE}", file=sys.stderr)
        return 1
    tools = {"sbatch": sbatch, "squeue": squeue, "scancel": scancel, "sacct": sacct, "scontrol": scontrol}
    return tools[name](words, plan)


if __name__ == "__main__":
    sys.exit(main())
