#!/bin/bash
# Runs an experiment as an array under a real Slurm on this machine and compares the merged report with one process's.
# One part is killed in the middle and requeued. Needs root, and Debian's slurm-wlm and munge; starts munged, slurmctld
# and slurmd without systemd, and ends them again.
#
#   scripts/check_slurm.sh target/release/vstar
set -euo pipefail
vstar=$(realpath "${1:-target/release/vstar}")
for program in munged slurmctld slurmd sbatch scontrol squeue scancel; do
  command -v "$program" > /dev/null || { echo "no $program: apt-get install slurm-wlm munge" >&2; exit 2; }
done
[ "$(id -u)" = 0 ] || { echo "slurmd needs root" >&2; exit 2; }

place=$(mktemp -d /tmp/vstar-slurm.XXXXXX)
chmod 755 "$place"
node=$(hostname -s)
mkdir -p "$place"/{state,spool,log,work}
pids=()
finish() {
  status=$?
  for pid in "${pids[@]}"; do kill "$pid" 2> /dev/null || true; done
  wait 2> /dev/null || true
  if [ $status = 0 ]; then rm -rf "$place"; else echo "logs in $place" >&2; tail -n 20 "$place"/log/* >&2 || true; fi
}
trap finish EXIT

# Munge: a key and a socket of our own.
dd if=/dev/urandom of="$place/munge.key" bs=1 count=1024 status=none
chmod 400 "$place/munge.key"
socket=$place/munge.socket
munged --foreground --force --key-file="$place/munge.key" --socket="$socket" --pid-file="$place/munged.pid" \
  --log-file="$place/log/munged" --seed-file="$place/munge.seed" > "$place/log/munged.out" 2>&1 &
pids+=($!)

cat > "$place/cgroup.conf" <<EOF
CgroupPlugin=cgroup/v1
ConstrainCores=no
ConstrainRAMSpace=no
EOF
cat > "$place/slurm.conf" <<EOF
ClusterName=check
SlurmctldHost=$node(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$socket
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
ReturnToService=2
MpiDefault=none
StateSaveLocation=$place/state
SlurmdSpoolDir=$place/spool
SlurmctldPidFile=$place/slurmctld.pid
SlurmdPidFile=$place/slurmd.pid
SlurmctldLogFile=$place/log/slurmctld
SlurmdLogFile=$place/log/slurmd
SlurmctldPort=16817
SlurmdPort=16818
MinJobAge=3600
JobRequeue=1
KillWait=5
SchedulerParameters=bf_interval=2,sched_interval=2
NodeName=$node NodeAddr=127.0.0.1 CPUs=$(nproc) State=UNKNOWN
PartitionName=main Nodes=$node Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
EOF
export SLURM_CONF=$place/slurm.conf
for _ in $(seq 50); do [ -S "$socket" ] && break; sleep 0.1; done
slurmctld -D > "$place/log/slurmctld.out" 2>&1 &
pids+=($!)
sleep 2
slurmd -D -N "$node" > "$place/log/slurmd.out" 2>&1 &
pids+=($!)
for _ in $(seq 60); do sinfo -h -o %T 2> /dev/null | grep -q idle && break; sleep 0.5; done
sinfo -h -o %T | grep -q idle || { echo "the node does not come up" >&2; exit 1; }

cd "$place/work"
cat > run.toml <<EOF
seed = 5
out = "parts"
[model]
embedded = "hearth-l"
[data]
files = ["embedded:hearth"]
limit = 250
[constitutions]
files = ["embedded:hearth"]
EOF
"$vstar" slurm run.toml --vstar "$vstar" --partition main --time 00:30:00 --mem 0 --cpus 1 --shards 6 --submit --quiet

array=$(squeue -h -o %A --name=vstar-run | sort -n | head -n 1)
echo "submitted as $array"
record() { python3 -c "import json,sys; print(json.load(open(sys.argv[1]))['phase'])" "parts/parts/$1-of-00006.json" 2> /dev/null; }
done_tokens() { python3 -c "import json,sys; print(json.load(open(sys.argv[1]))['tokens']['total'])" "parts/parts/$1-of-00006.json" 2> /dev/null || echo 0; }
# The first part, in the middle of its work.
for _ in $(seq 600); do [ "$(done_tokens 00001)" != 0 ] && [ "$(record 00001)" = running ] && break; sleep 0.05; done
[ "$(record 00001)" = running ] || { echo "part 1 was too quick to be killed" >&2; exit 1; }
scancel --signal=KILL --full "${array}_1" || scancel --signal=KILL --batch "${array}_1"
echo "killed ${array}_1"
for _ in $(seq 200); do squeue -h -t R -o %K | grep -qx 1 || break; sleep 0.1; done
"$vstar" status parts
scontrol requeue "${array}_1"
echo "requeued ${array}_1"

for _ in $(seq 1800); do [ -z "$(squeue -h)" ] && break; sleep 0.5; done
squeue
cat parts/jobs/logs/*.log | tail -n 40
[ -z "$("$vstar" status parts --missing)" ] || { echo "parts are missing" >&2; exit 1; }
[ -f parts/report.json ] || "$vstar" merge parts --quiet

# One thread, as the merge had: the sums of a fit depend on their number in the last bits, those of shards do not.
RAYON_NUM_THREADS=1 "$vstar" run parts/jobs/run.toml --out one --quiet > /dev/null
python3 - <<'EOF'
import hashlib, json, pathlib, sys
def report(folder):
    report = json.loads(pathlib.Path(folder, "report.json").read_text())
    del report["provenance"]["time_unix"]
    return json.dumps(report).replace(f'"{folder}/', '"OUT/').replace(f'{pathlib.Path(folder).absolute()}/', "OUT/")
def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()
def files(folder):
    own = [p for p in pathlib.Path(folder).rglob("*.safetensors")]
    return {str(p.relative_to(folder)): digest(p) for p in own}
a, b = files("parts"), files("one")
assert a == b and len(a) > 20, sorted(k for k in a.keys() | b.keys() if a.get(k) != b.get(k))
assert report("parts") == report("one"), "the reports differ"
print(f"the same: report.json and {len(a)} files of observations, directions and shards")
EOF
