#!/usr/bin/env bash
# Start a throw-away Slurm on this machine: a controller and its nodes, loopback only. Needs root; safe to repeat.
#
#   start_slurm.sh [--install] [--nodes N] [--cpus N] [--port P] ROOT
#
#   ROOT       folder of its configuration, state and logs; no blanks (Slurm's configuration cannot hold them)
#   --install  first install Debian's packages slurm-wlm and munge where they are missing
#   --nodes N  nodes, all of them this machine (1)
#   --cpus N   CPUs that a node pretends to have (8): Slurm starts jobs once a second, so more means faster tests
#   --port P   the controller's port (16817); the nodes have P+1, P+2, ...
#
# Afterwards: export SLURM_CONF=ROOT/slurm.conf. Stop it with stop_slurm.sh ROOT.
set -euo pipefail

die() { echo "start_slurm.sh: $*" >&2; exit 1; }

install=false nodes=1 cpus=8 port=16817 root=
while [ $# -gt 0 ]; do
  case $1 in
    --install) install=true; shift ;;
    --nodes) nodes=$2; shift 2 ;;
    --cpus) cpus=$2; shift 2 ;;
    --port) port=$2; shift 2 ;;
    -*) die "unknown option $1" ;;
    *) root=$1; shift ;;
  esac
done
[ -n "${root}" ] || [ "${install}" = true ] || die "needs a folder for the cluster's state"
[ "$(id -u)" = 0 ] || die "must run as root: slurmd needs it"

have_slurm() {
  local program
  for program in slurmctld slurmd sbatch munged; do command -v "${program}" > /dev/null || return 1; done
}

# The packages would start daemons of their own; a policy-rc.d that says no (101) keeps them from it.
install_slurm() {
  local policy=/usr/sbin/policy-rc.d made=false status=0
  if [ ! -e "${policy}" ]; then
    made=true
    printf '#!/bin/sh\nexit 101\n' > "${policy}"
    chmod 755 "${policy}"
  fi
  export DEBIAN_FRONTEND=noninteractive
  { apt-get update -q && apt-get install -q -y --no-install-recommends slurm-wlm munge; } >&2 || status=$?
  if [ "${made}" = true ]; then rm -f "${policy}"; fi
  return "${status}"
}

if ! have_slurm; then
  [ "${install}" = true ] || die "Slurm is not installed here: run it with --install, or apt-get install slurm-wlm munge"
  install_slurm || die "apt-get could not install slurm-wlm and munge"
fi
[ -n "${root}" ] || exit 0

case ${root} in /*) ;; *) root=${PWD}/${root} ;; esac
case ${root} in *[[:space:]]*) die "no blanks, please, in ${root}" ;; esac
mkdir -p "${root}"/{munge,log,run,state,spool}
# munged refuses a key or a socket in a folder that others may write to; clients need to reach the socket.
chmod 755 "${root}" "${root}/run"
chmod 700 "${root}/munge" "${root}/state"
export SLURM_CONF=${root}/slurm.conf

# Written once: a controller that is started again must find the same configuration, or it kills running jobs.
write_configuration() {
  local memory number
  memory=$(awk '/^MemTotal/ {print int($2 / 1024 * 0.8)}' /proc/meminfo)
  (umask 077; head -c 1024 /dev/urandom > "${root}/munge/key")
  echo "NodeName=n[1-${nodes}] Name=gpu File=/dev/null" > "${root}/gres.conf"
  echo 'CgroupAutomount=no' > "${root}/cgroup.conf"
  cat > "${SLURM_CONF}.tmp" << CONF
ClusterName=espret
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort=${port}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
AuthType=auth/munge
# cred_expire is also how long a requeued job waits before it starts again
AuthInfo=socket=${root}/run/munge.socket,cred_expire=5
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation=${root}/state
SlurmdSpoolDir=${root}/spool/%n
SlurmctldPidFile=${root}/run/slurmctld.pid
SlurmdPidFile=${root}/run/slurmd.%n.pid
SlurmctldLogFile=${root}/log/slurmctld.log
SlurmdLogFile=${root}/log/slurmd.%n.log
MailProg=/bin/true
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
ReturnToService=2
# believe the CPUs below even if the machine has fewer
SlurmdParameters=config_overrides
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=5
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=100
GresTypes=gpu
JobRequeue=1
KillWait=3
MinJobAge=300
EnforcePartLimits=ALL
SlurmctldTimeout=30
SlurmdTimeout=30
MessageTimeout=10
# memory limits without cgroups: look every 2 s, kill what is over
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=2
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
NodeName=DEFAULT CPUs=${cpus} RealMemory=${memory} Gres=gpu:1 State=UNKNOWN
PartitionName=main Nodes=n[1-${nodes}] Default=YES MaxTime=INFINITE DefaultTime=60 State=UP
CONF
  for number in $(seq "${nodes}"); do
    echo "NodeName=n${number} NodeHostname=$(hostname -s) NodeAddr=127.0.0.1 Port=$((port + number))"
  done >> "${SLURM_CONF}.tmp"
  mv "${SLURM_CONF}.tmp" "${SLURM_CONF}"
}
[ -s "${SLURM_CONF}" ] || write_configuration

# running PIDFILE NAME: a killed process that nobody has reaped yet keeps its name, but is a zombie
running() {
  local pid
  pid=$(cat "$1" 2> /dev/null) && [ -n "${pid}" ] || return 1
  [ "$(cat "/proc/${pid}/comm" 2> /dev/null)" = "$2" ] && ! grep -q '^State:[[:space:]]*[ZX]' "/proc/${pid}/status"
}

# Without these redirections a daemon would hold its caller's pipe open.
start() { "$@" < /dev/null >> "${root}/log/start.log" 2>&1 || die "$1 failed: $(tail -n 3 "${root}/log/start.log")"; }

if ! running "${root}/run/munged.pid" munged; then
  rm -f "${root}"/run/munge.socket*
  start munged --key-file="${root}/munge/key" --socket="${root}/run/munge.socket" --pid-file="${root}/run/munged.pid" \
    --log-file="${root}/log/munged.log" --seed-file="${root}/munge/seed" --num-threads=2
fi
running "${root}/run/slurmctld.pid" slurmctld || start slurmctld -f "${SLURM_CONF}"
for number in $(seq "${nodes}"); do
  running "${root}/run/slurmd.n${number}.pid" slurmd || start slurmd -f "${SLURM_CONF}" -N "n${number}"
done

for _ in $(seq 300); do
  state=$(sinfo -h -N -o '%N %t' 2> /dev/null || true)
  if [ "$(grep -cE ' (idle|mix|alloc|comp)$' <<< "${state}")" = "${nodes}" ]; then exit 0; fi
  sleep 0.2
done
sinfo -R >&2 || true
tail -n 5 "${root}"/log/slurm*.log >&2
die "not all ${nodes} node(s) are ready after 60 s: ${state//$'\n'/, }"
