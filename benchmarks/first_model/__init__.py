"""The committed recipe of the first model: packs of real data in, shipped heads with measured cards out.

    python -m benchmarks.first_model.face     # about 25 min on 2 cores
    python -m benchmarks.first_model.text     # about 10 min
    python -m benchmarks.first_model.speech   # about 10 min
    python -m benchmarks.first_model.check    # recomputes the shipped figures on valid and compares

The packs are read from `MERKIT_DATA`, or from `../shared/data` beside the checkout; frozen features are computed once
and kept in `.work/` (ignored by git).
"""
