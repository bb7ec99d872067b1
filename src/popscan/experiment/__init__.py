"""Experiments: trainings on purposely unbalanced data, and what helps against the gaps.

`design` says which trials there are and who is trained on and tested; `trial` does one of them;
`results` turns scores into tables, `figures` and `page` show them. Nothing here reads or writes
files; `popscan.stages.experiment.job` does.

A grid of compositions at fixed size, tested on one balanced set of subjects, is the design of Lee
et al. 2022 (arXiv:2209.01627) and 2023 (doi:10.1007/978-3-031-45249-9_21) and of Ioannou et al.
2022 (doi:10.1007/978-3-031-17899-3_2); the mitigations are those of Puyol-Anton et al. 2021
(arXiv:2106.12387) and Lee et al. 2025 (arXiv:2503.17089).
"""
