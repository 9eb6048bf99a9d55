"""Measurements on windows of WESAD, leaving persons out (docs/physiology.md)."""
