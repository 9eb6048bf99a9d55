"""Measurements on RAVDESS speech with actors that training has not heard (docs/results.md)."""
