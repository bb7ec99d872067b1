#!/usr/bin/env bash
# The effect of a gene has the opposite sign by pandas-plink: its a1 is PLINK's allele 2.
#
# Version    pandas-plink 2.2.9, bed-reader 1.1.0, pandas 2.3.3, xarray 2026.9.0
# Behaviour  PLINK's bim file names allele 1 (A) and allele 2 (G), and its programs count allele 1.
#            bed-reader does so. pandas-plink names the two a0 and a1 and counts a1, which is
#            PLINK's allele 2: a subject with AA has 2 by bed-reader and 0 by pandas-plink, in both
#            of its functions. read_plink1_bin(ref="a0") counts PLINK's allele 1.
# Output     AA, AG, GG: bed-reader 2, 1, 0; pandas-plink 0, 1, 2, a1 = G
#            a volume that rises by 2 mL with each A: slope 2.0 by bed-reader, -2.0 by pandas-plink
# Source     PLINK 1.9's file formats (.bim: allele 1, allele 2; .raw counts A1 by default);
#            pandas-plink issues 15 and 28.
# Consequence Effects and polygenic scores have the wrong sign where the tables of weights name the
#            A1 of PLINK. No p value changes, and a frequency f becomes 1 - f, which is plausible,
#            too. Join by the allele's letter, never by "a1".
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check \
  pandas-plink==2.2.9 bed-reader==1.1.0 pandas==2.3.3 xarray==2026.9.0 numpy==2.4.6
env/bin/python -W ignore - <<'PY'
import numpy as np
from bed_reader import open_bed, to_bed
from pandas_plink import read_plink, read_plink1_bin

copies_of_a = np.array([[2.0], [1.0], [0.0]])
volume = 100 + 2 * copies_of_a[:, 0]
names = ["s1", "s2", "s3"]
variant = {"sid": ["rs1"], "chromosome": ["1"], "bp_position": [1]}
alleles = {"allele_1": ["A"], "allele_2": ["G"]}
to_bed("study.bed", copies_of_a, properties={"fid": names, "iid": names} | variant | alleles)
with open("study.bim") as file:
    assert file.read().split()[4:] == ["A", "G"]


def slope(counts):
    return float(np.polyfit(counts, volume, 1)[0])


by_bed_reader = open_bed("study.bed").read()[:, 0]
bim, _, bed = read_plink("study", verbose=False)
by_plink = bed.compute()[0]
by_array = read_plink1_bin("study.bed", "study.bim", "study.fam", verbose=False).values[:, 0]
other = read_plink1_bin("study.bed", "study.bim", "study.fam", verbose=False, ref="a0").values[:, 0]
print("bed-reader", by_bed_reader, f"slope {slope(by_bed_reader):.1f}")
print("pandas-plink", by_plink, f"slope {slope(by_plink):.1f}, a0 {bim.a0[0]}, a1 {bim.a1[0]}")
assert by_bed_reader.tolist() == [2, 1, 0] and round(slope(by_bed_reader), 6) == 2
assert by_plink.tolist() == by_array.tolist() == [0, 1, 2], "allele 1 is counted now"
assert round(slope(by_plink), 6) == -2 and (bim.a0[0], bim.a1[0]) == ("A", "G")
assert other.tolist() == [2, 1, 0]
PY
