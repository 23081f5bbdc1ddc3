# shellcheck shell=bash disable=SC2034
# Where commands run. Edit this file, or set cmd_backend in the environment: cmd_backend=slurm ./run.sh
#
# A runner takes Kaldi's calling convention, `RUNNER [options] [JOB=1:N] LOG COMMAND...`, so any Kaldi-compatible one can be
# named here (run.pl, slurm.pl, queue.pl, ...). Options that ours understand:
#   --max-jobs-run N   at most N tasks of an array at a time
#   --num-threads N    CPU cores of a task        --mem 4G   memory of a task
#   --gpu N            GPUs of a task             --time 2:00:00   time limit of a task
#   --warning SECONDS  slurm.py: USR1 so long before the time limit; for what then saves and is to run again (training)
#   --config FILE      slurm.py: conf/slurm.conf, overlaid by the untracked conf/slurm.local.conf

cmd_backend=${cmd_backend:-local}

case "${cmd_backend}" in
  local) # this machine: as many tasks at a time as it has cores (or GPUs)
    cpu_cmd="run.py"
    cuda_cmd="run.py"
    train_cmd=${cuda_cmd}
    decode_cmd="run.py"
    ;;
  slurm) # conf/slurm.conf says how the options become those of sbatch
    cpu_cmd="slurm.py --mem 4G"
    cuda_cmd="slurm.py --mem 16G --num-threads 2"
    train_cmd="${cuda_cmd} --warning 120" # whatever the time limit is, training goes on in the next job
    decode_cmd="slurm.py --mem 4G"
    ;;
  *)
    echo "cmd.sh: unknown cmd_backend '${cmd_backend}': local or slurm, or add your own to ${BASH_SOURCE[0]}" >&2
    return 1
    ;;
esac
