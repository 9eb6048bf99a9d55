"""Recipes: config → data → model → loss → optimiser, each read top to bottom."""

from merkit.systems.system import SYSTEMS, System, find_system

__all__ = ["SYSTEMS", "System", "find_system"]
