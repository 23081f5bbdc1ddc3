#!/usr/bin/env bash
# Stop what start_slurm.sh ROOT has started: its jobs, then its daemons.
#
#   stop_slurm.sh [--controller-only [--kill]] ROOT
#
#   --controller-only  stop only slurmctld, and leave the jobs alone (start_slurm.sh starts it again)
#   --kill             by SIGKILL: it does not get to save its state
set -uo pipefail

only=false signal=TERM root=
while [ $# -gt 0 ]; do
  case $1 in
    --controller-only) only=true ;;
    --kill) signal=KILL ;;
    *) root=$1 ;;
  esac
  shift
done
[ -n "${root}" ] || { echo "usage: stop_slurm.sh [--controller-only [--kill]] ROOT" >&2; exit 2; }
case ${root} in /*) ;; *) root=${PWD}/${root} ;; esac
export SLURM_CONF=${root}/slurm.conf

# alive PID NAME: it runs, and is the program that we mean
alive() {
  [ "$(cat "/proc/$1/comm" 2> /dev/null)" = "$2" ] && ! grep -q '^State:[[:space:]]*[ZX]' "/proc/$1/status" 2> /dev/null
}

# end PIDFILE NAME: TERM, and KILL after 10 s
end() {
  local pid
  pid=$(cat "$1" 2> /dev/null) || return 0
  if alive "${pid}" "$2"; then
    kill "-${signal}" "${pid}"
    for _ in $(seq 100); do alive "${pid}" "$2" || break; sleep 0.1; done
    if alive "${pid}" "$2"; then kill -KILL "${pid}"; fi
  fi
  rm -f "$1"
}

if [ "${only}" = false ] && pid=$(cat "${root}/run/slurmctld.pid" 2> /dev/null) && alive "${pid}" slurmctld; then
  # While the daemons can still do it: a job's shepherd (slurmstepd) outlives them.
  timeout 10 scancel --user="$(id -un)" 2> /dev/null
  for _ in $(seq 100); do
    [ -n "$(timeout 10 squeue -h -t running,completing,suspended,configuring -o %A 2> /dev/null)" ] || break
    sleep 0.1
  done
fi
if [ "${only}" = false ]; then
  for file in "${root}"/run/slurmd.*.pid; do end "${file}" slurmd; done
fi
end "${root}/run/slurmctld.pid" slurmctld
if [ "${only}" = false ]; then end "${root}/run/munged.pid" munged; fi
exit 0
