"""Figures with their machine, versions, medians and spread: run by hand, never asserted in a test."""
