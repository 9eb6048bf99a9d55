"""Twins of networks that compute only what is real: the same weights, the same answers, padded, so that a graph can be made."""

from merkit.export.twins.traceable import REFUSED, TWINS, traceable

__all__ = ["REFUSED", "TWINS", "traceable"]
