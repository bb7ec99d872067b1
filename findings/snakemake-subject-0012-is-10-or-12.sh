#!/usr/bin/env bash
# Subject 0012 is subject 10 in a Snakemake config file and subject 12 on its command line.
#
# Version    snakemake 9.27.1
# Behaviour  A config file is YAML 1.1, where 0012 is octal: 10. `--config subject=0012` tries int and
#            float first: 12. 0108 is text in the file (8 is no octal digit) and 108 on the command
#            line; 12:30 is 750 in the file (base 60), text on the command line; 12e3 is text in the file
#            and 12000.0 on the command line, 1_000 is 1000 in both. In a list,
#            `--config subjects=[0012,12e3]` keeps the text.
# Output     file: {'one': 10, 'two': '0108', 'three': 750, 'four': '12e3', 'five': 1000}
#            --config: {'one': 12, 'two': 108, 'three': '12:30', 'four': 12000.0, 'five': 1000}
#            --config, list: ['0012', '0108', '12:30', '12e3', '1_000']
# Source     YAML 1.1, type int (octal by a leading 0, base 60 by colons); snakemake issues 2431 and 3650
#            (digits with underscores on the command line). That both ways differ is not said there.
# Consequence sub-0010 is processed in place of sub-0012, or sub-12 is not found; of a list of ids some
#            lose their zeros and some keep them. Write ids with their prefix (sub-0012) or in quotes,
#            and refuse ids that are no text in a schema.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check snakemake==9.27.1
cat > Snakefile <<'SMK'
import sys

names = ("one", "two", "three", "four", "five")
print("SEEN", config.get("listed") or {n: config[n] for n in names}, file=sys.stderr)


rule all:
    output:
        touch("done"),
SMK
seen() {  # what the workflow has in its config
  env/bin/snakemake --dry-run --cores 1 "$@" > log.txt 2>&1
  grep -oE "^SEEN .*" log.txt | head -n 1 | cut -d' ' -f2-
}
ids=(0012 0108 12:30 12e3 1_000)
printf 'one: %s\ntwo: %s\nthree: %s\nfour: %s\nfive: %s\n' "${ids[@]}" > ids.yaml
file=$(seen --configfile ids.yaml)
typed=$(seen --config one=0012 two=0108 three=12:30 four=12e3 five=1_000)
listed=$(seen --config "listed=[0012,0108,'12:30',12e3,1_000]")
echo "file: $file"
echo "--config: $typed"
echo "--config, list: $listed"
[ "$file" = "{'one': 10, 'two': '0108', 'three': 750, 'four': '12e3', 'five': 1000}" ]
[ "$typed" = "{'one': 12, 'two': 108, 'three': '12:30', 'four': 12000.0, 'five': 1000}" ]
[ "$listed" = "['0012', '0108', '12:30', '12e3', '1_000']" ]
