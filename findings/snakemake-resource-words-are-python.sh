#!/usr/bin/env bash
# Names of Slurm partitions and accounts are evaluated as Python by Snakemake.
#
# Version    snakemake 9.27.1
# Behaviour  The value of a default resource is a Python expression wherever it is one, and text
#            otherwise. `slurm_partition=gpu` is text, `slurm_partition=threads` is the job's number of
#            threads (1), `slurm_account=0012` the number 12, `slurm_account=1e5` 100000, and
#            `slurm_partition=all` (or any, id, max) a built-in function, on which the run ends with a
#            ValueError that names no resource. A runtime of 1.5 is 1. The same holds in a profile's
#            default-resources, where YAML's own quotes are gone before Snakemake looks.
# Output     as above
# Source     Snakemake's documentation of resources says that expressions are allowed; that a bare word
#            which happens to be a Python name is one, too, is not said there.
# Consequence Jobs go to another partition or are charged to another account than the profile says. Put
#            such values in two pairs of quotes: slurm_partition: "'all'", slurm_account: "'0012'".
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check snakemake==9.27.1
cat > Snakefile <<'SMK'
rule all:
    output:
        touch("done"),
    run:
        seen = {k: v for k, v in resources.items() if k.startswith("slurm") or k == "runtime"}
        print("SEEN", *(f"{k}={v!r}" for k, v in seen.items()))
SMK
try() {  # resource, what is expected of it
  rm -f done
  env/bin/snakemake --cores 1 --default-resources "$1" > log.txt 2>&1 || true
  seen=$(grep -oE "^SEEN .*" log.txt | head -1 || grep -oE "^ValueError" log.txt | head -1 || true)
  [ -n "$seen" ] || seen=$(grep -oE "ValueError" log.txt | head -1 || true)
  echo "$1 -> $seen"
  [ "$seen" = "$2" ] || { echo "expected: $2"; exit 1; }
}
try slurm_partition=gpu "SEEN slurm_partition='gpu'"
try slurm_partition=threads "SEEN slurm_partition=1"
try slurm_partition=all "ValueError"
try "slurm_partition='all'" "SEEN slurm_partition='all'"
try slurm_account=0012 "SEEN slurm_account=12"
try slurm_account=1e5 "SEEN slurm_account=100000"
try "slurm_account='0012'" "SEEN slurm_account='0012'"
try runtime=1.5 "SEEN runtime=1"
