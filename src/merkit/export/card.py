"""The model card of an export: what it answers, what it learned from, what it is worth, and what it is not for."""

from collections.abc import Sequence

from merkit.export.config import MerkitConfig
from merkit.export.parity import Parity
from merkit.report.notice import NOTICE
from merkit.training.run import Run

__all__ = ["card_of"]


def card_of(runs: Sequence[Run], config: MerkitConfig, form: str, parity: Parity, *, licence: str = "") -> str:
    """Markdown with the header that the Hugging Face hub reads."""
    return f"# {config.system}\n\n{parity}\n\n{NOTICE}\n"
