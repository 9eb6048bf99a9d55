"""Measurements of the tensor mixer system on real votes, voices and words."""
