#!/usr/bin/env bash
# A real Slurm of one node, for tests: controller, node daemon, a partition `cpu` (the default) and
# a partition `gpu` whose two GPUs are /dev/null and /dev/zero. For a machine of its own, as root.
#
#   tests/slurm.sh start DIR [accounting]    all state, logs and pid files below DIR
#   tests/slurm.sh stop DIR
#   tests/slurm.sh missing [accounting]      prints which programs are missing; nothing if none
#
# Debian: apt-get install --no-install-recommends slurm-wlm munge [slurmdbd mariadb-server]
set -euo pipefail

PATH=$PATH:/usr/sbin:/sbin
PORT=${SLURM_TEST_PORT:-26817} # and the two above it

missing() {
  local programs=(munged slurmctld slurmd sbatch) program
  if [ "${1:-}" = accounting ]; then programs+=(slurmdbd mariadbd mariadb-install-db); fi
  for program in "${programs[@]}"; do
    command -v "$program" > /dev/null || echo "$program"
  done
}

is_alive() { # PID_FILE
  [ -s "$1" ] && kill -0 "$(cat "$1")" 2> /dev/null
}

until_true() { # SECONDS COMMAND...
  local end=$((SECONDS + $1))
  shift
  until "$@" > /dev/null 2>&1; do
    if [ "$SECONDS" -gt "$end" ]; then
      echo "waited in vain for: $*" >&2
      return 1
    fi
    sleep 0.1
  done
}

end_daemon() { # PID_FILE; only the process that this file names
  is_alive "$1" || return 0
  local pid
  pid=$(cat "$1")
  kill "$pid"
  until_true 10 not_running "$pid" || kill -KILL "$pid"
}

not_running() { ! kill -0 "$1" 2> /dev/null; }

write_config() {
  local host cpus memory_mb accounting
  host=$(hostname -s)
  cpus=${SLURM_TEST_CPUS:-8} # more than there are: jobs of a test mostly start up and wait
  memory_mb=$(awk '/MemTotal/ {print int($2 / 1024 * 4)}' /proc/meminfo) # nothing enforces it
  if [ "$MODE" = accounting ]; then
    accounting="JobAcctGatherType=jobacct_gather/linux
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
AccountingStoragePort=$((PORT + 2))
AccountingStorageTRES=gres/gpu"
  else
    accounting="JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none"
  fi
  cat > "$DIR/etc/slurm.conf" << CONF
ClusterName=popscan
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$PORT
SlurmdPort=$((PORT + 1))
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CryptoType=crypto/munge
SlurmctldPidFile=$DIR/run/slurmctld.pid
SlurmdPidFile=$DIR/run/slurmd.pid
SlurmctldLogFile=$DIR/log/slurmctld.log
SlurmdLogFile=$DIR/log/slurmd.log
StateSaveLocation=$DIR/state
SlurmdSpoolDir=$DIR/spool
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=batch_sched_delay=1,sched_interval=2,bf_interval=5
KillWait=3
MinJobAge=7200
GresTypes=gpu
JobCompType=jobcomp/filetxt
JobCompLoc=$DIR/log/finished_jobs.log
$accounting
NodeName=$host NodeAddr=127.0.0.1 CPUs=$cpus RealMemory=$memory_mb Gres=gpu:2 State=UNKNOWN
PartitionName=cpu Nodes=$host Default=YES MaxTime=1-00:00:00 State=UP
PartitionName=gpu Nodes=$host MaxTime=1-00:00:00 State=UP
CONF
  echo "NodeName=$host Name=gpu File=/dev/null,/dev/zero" > "$DIR/etc/gres.conf"
}

start_munge() {
  if munge -n > /dev/null 2>&1; then return; fi # the machine's own is running
  install -d -o munge -g munge -m 755 /run/munge
  install -d -o munge -g munge -m 700 /var/log/munge /var/lib/munge /etc/munge
  if [ ! -s /etc/munge/munge.key ]; then
    install -o munge -g munge -m 600 /dev/null /etc/munge/munge.key
    dd if=/dev/urandom of=/etc/munge/munge.key bs=128 count=1 status=none
    chmod 400 /etc/munge/munge.key
  fi
  setpriv --reuid=munge --regid=munge --clear-groups munged --pid-file=/run/munge/munged.pid
  ln -s /run/munge/munged.pid "$DIR/run/munged.pid"
  until_true 10 munge -n
}

start_accounting() {
  local socket=$DIR/db/mariadb.sock
  install -d -o mysql -g mysql "$DIR/db"
  mariadb-install-db --user=mysql --datadir="$DIR/db/data" --skip-test-db > "$DIR/log/mariadb.log" 2>&1 \
    || { tail -n 5 "$DIR/log/mariadb.log" >&2; exit 1; }
  setsid setpriv --reuid=mysql --regid=mysql --clear-groups mariadbd --no-defaults \
    --datadir="$DIR/db/data" --socket="$socket" --pid-file="$DIR/db/mariadbd.pid" --skip-networking \
    --innodb-buffer-pool-size=64M >> "$DIR/log/mariadb.log" 2>&1 < /dev/null &
  until_true 30 mariadb-admin --socket="$socket" ping
  ln -s "$DIR/db/mariadbd.pid" "$DIR/run/mariadbd.pid"
  mariadb --socket="$socket" -e "CREATE USER 'slurm'@'localhost' IDENTIFIED BY 'slurm';
    GRANT ALL ON slurm_acct_db.* TO 'slurm'@'localhost'"
  install -m 600 /dev/stdin "$DIR/etc/slurmdbd.conf" << CONF
AuthType=auth/munge
DbdHost=localhost
DbdPort=$((PORT + 2))
SlurmUser=root
LogFile=$DIR/log/slurmdbd.log
PidFile=$DIR/run/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct_db
CONF
  MYSQL_UNIX_PORT=$socket slurmdbd
  until_true 30 sacctmgr --noheader list cluster
  sacctmgr --immediate add cluster popscan > /dev/null
  sacctmgr --immediate add account lab cluster=popscan > /dev/null
  sacctmgr --immediate add user root account=lab cluster=popscan > /dev/null
}

# Snakemake's Slurm plugin takes SLURM_* (SLURM_CONF too) out of the environment of its jobs, so that
# srun in a job only finds the configuration at its default place.
link_config() {
  local name
  stop_orphan
  for name in slurm.conf gres.conf slurmdbd.conf; do
    if [ -L "/etc/slurm/$name" ] && [ ! -e "/etc/slurm/$name" ]; then rm "/etc/slurm/$name"; fi
    if [ -e "/etc/slurm/$name" ]; then
      echo "/etc/slurm/$name is there: this machine belongs to another Slurm" >&2
      exit 1
    fi
    if [ -e "$DIR/etc/$name" ]; then ln -s "$DIR/etc/$name" "/etc/slurm/$name"; fi
  done
}

# A test run that was killed left its Slurm running: no process that asked for it is there any more.
stop_orphan() {
  local other
  other=$(readlink /etc/slurm/slurm.conf || true)
  other=${other%/etc/slurm.conf}
  if [ -e "$other/run/owner.pid" ] && ! is_alive "$other/run/owner.pid"; then
    "${BASH_SOURCE[0]}" stop "$other"
  fi
}

is_idle() { [ "$(sinfo --noheader --partition=cpu --format=%T)" = idle ]; }

start() {
  local absent
  absent=$(missing "$MODE")
  if [ -n "$absent" ]; then
    echo "missing: ${absent//$'\n'/ }" >&2
    exit 1
  fi
  mkdir -p "$DIR"/{etc,run,log,state,spool} /etc/slurm
  chmod 755 "$DIR" "$DIR"/{etc,run,log}
  echo "$PPID" > "$DIR/run/owner.pid"
  write_config
  if [ "$MODE" = accounting ]; then touch "$DIR/etc/slurmdbd.conf"; fi
  link_config
  start_munge
  if [ "$MODE" = accounting ]; then start_accounting; fi
  slurmctld -c
  slurmd
  until_true 30 is_idle
}

stop() {
  local name
  if is_alive "$DIR/run/slurmctld.pid"; then
    scancel --user=root || true
    until_true 15 bash -c '[ -z "$(squeue --noheader)" ]' || true
  fi
  for name in slurmctld slurmd slurmdbd mariadbd munged; do
    end_daemon "$DIR/run/$name.pid"
  done
  for name in slurm.conf gres.conf slurmdbd.conf; do
    if [ "$(readlink "/etc/slurm/$name" || true)" = "$DIR/etc/$name" ]; then
      rm "/etc/slurm/$name"
    fi
  done
}

case "${1:-}:${2:-}" in
  missing:*)
    missing "${2:-}"
    ;;
  start:?* | stop:?*)
    DIR=$(realpath -m "$2")
    MODE=${3:-}
    export SLURM_CONF=$DIR/etc/slurm.conf
    "$1"
    ;;
  *)
    sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
