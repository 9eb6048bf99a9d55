"""The catalogue of pretrained weights: what there is, under which licence, and how it gets here verified."""

from merkit.weights.cache import WeightState, cache_root, is_cached, locate, verify
from merkit.weights.catalogue import CATALOGUE
from merkit.weights.entry import WeightEntry, WeightFile
from merkit.weights.fetch import fetch
from merkit.weights.shipped import shipped_entries

__all__ = [
    "CATALOGUE",
    "WeightEntry",
    "WeightFile",
    "WeightState",
    "cache_root",
    "fetch",
    "is_cached",
    "locate",
    "shipped_entries",
    "verify",
]
