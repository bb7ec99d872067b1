#!/usr/bin/env bash
# An ECG stored beside a slower signal is read by wfdb at the slower rate, with lower R waves.
#
# Version    wfdb 4.3.1, numpy 2.4.6
# Behaviour  A record of 62.5 frames a second holds one sample of a blood pressure and four of an
#            ECG (250 Hz) per frame. rdrecord and rdsamp average the four by default, so that all
#            signals have one length; the record's rate, 62.5, is right for what they return. No
#            message. With smooth_frames=False the ECG comes with its own 250 Hz.
# Output     R waves of 1.00 mV read as 0.84 mV; beat-to-beat variability (RMSSD) of 8.0 ms as 11.4
#            ms
# Source     WFDB's header format (samples per frame); wfdb's documentation of rdrecord names
#            smooth_frames; wfdb-python pull request 313.
# Consequence ECGs of records with other signals have lower voltages and coarser intervals than
#            those of records without, so that groups by device or ward differ in voltage criteria,
#            heart rate variability and QT. Read with smooth_frames=False.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check wfdb==4.3.1 numpy==2.4.6 pandas==2.3.3
env/bin/python - <<'PY'
import warnings

import numpy as np
import wfdb

frames, per_frame = 62.5, 4
rate, seconds = frames * per_frame, 60
intervals = np.where(np.arange(80) % 2, 0.800, 0.808)
beats = np.cumsum(intervals)[np.cumsum(intervals) < seconds - 1]
times = np.arange(int(seconds * rate)) / rate
ecg = np.exp(-0.5 * ((times[:, None] - beats) / 0.008) ** 2).sum(axis=1)
stored = [np.round(1000 * ecg).astype(int), np.full(int(seconds * frames), 80)]
wfdb.Record(
    record_name="rest",
    n_sig=2,
    fs=frames,
    sig_len=int(seconds * frames),
    fmt=["16", "16"],
    units=["mV", "mmHg"],
    sig_name=["ECG", "ABP"],
    adc_gain=[1000.0, 1.0],
    baseline=[0, 0],
    samps_per_frame=[per_frame, 1],
    file_name=["rest.dat", "rest.dat"],
    byte_offset=[None, None],
    block_size=[0, 0],
    adc_res=[16, 16],
    adc_zero=[0, 0],
    init_value=[int(values[0]) for values in stored],
    checksum=[int(values.sum() % 65536) for values in stored],
    e_d_signal=stored,
).wrsamp(expanded=True)


def measures(signal, hz):
    """Largest R wave (mV) and the RMSSD of its peaks (ms)."""
    before, here, after = signal[:-2], signal[1:-1], signal[2:]
    peaks = np.flatnonzero((here >= before) & (here > after) & (here > 0.5))
    assert len(peaks) == len(beats)
    changes = np.diff(np.diff(peaks) / hz * 1000)
    return float(signal.max()), float(np.sqrt(np.mean(changes**2)))


with warnings.catch_warnings():
    warnings.simplefilter("error")
    smooth, own = wfdb.rdrecord("rest"), wfdb.rdrecord("rest", smooth_frames=False)
    table, fields = wfdb.rdsamp("rest")
averaged, full = measures(smooth.p_signal[:, 0], smooth.fs), measures(own.e_p_signal[0], rate)
print("R wave {:.2f} mV, RMSSD {:.1f} ms by default".format(*averaged), smooth.p_signal.shape)
print("R wave {:.2f} mV, RMSSD {:.1f} ms with smooth_frames=False".format(*full))
assert smooth.fs == fields["fs"] == frames and (table == smooth.p_signal).all()
assert round(averaged[0], 2) == 0.84 and round(averaged[1], 1) == 11.4, "the ECG is whole now"
assert round(full[0], 2) == 1.00 and round(full[1], 1) == 8.0
PY
