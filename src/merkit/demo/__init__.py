"""A small real input that a fresh machine can have: a real face, and speech that says it is synthetic."""

from merkit.demo.clip import DEMO_NOTE, build_demo_clip

__all__ = ["DEMO_NOTE", "build_demo_clip"]
