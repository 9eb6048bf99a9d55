"""Weights that ship inside merkit: the trained emotion heads, each `NAME.safetensors` with `NAME.json` beside it."""

import hashlib
import json
from pathlib import Path

from merkit.errors import WeightError
from merkit.weights.entry import WeightEntry, WeightFile

__all__ = ["SHIPPED", "shipped_entries", "shipped_network", "shipped_sha256"]

SHIPPED = Path(__file__).parent / "shipped"
_KEYS = ("name", "version", "modality", "licence", "non_commercial", "permissive", "sha256")


def shipped_entries(folder: Path = SHIPPED) -> dict[str, WeightEntry]:
    """Catalogue entries of the heads in `folder`, by name.

    A card (`*.json`) must hold `name, version, modality, licence, non_commercial, permissive, sha256`, the last being
    that of the safetensors file of the same stem. The file's content is checked by `locate`, not here.

    Raises:
        WeightError: a card cannot be read, lacks a key, or has no safetensors file beside it.

    Example:
        >>> from pathlib import Path
        >>> shipped_entries(Path("no such folder"))
        {}
    """
    entries: dict[str, WeightEntry] = {}
    for card in sorted(folder.glob("*.json")):
        weights = card.with_suffix(".safetensors")
        try:
            facts = json.loads(card.read_text(encoding="utf-8"))
            name, version, modality, licence, non_commercial, permissive, sha256 = (facts[key] for key in _KEYS)
            size = weights.stat().st_size
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise WeightError(f"{card}: not a card of shipped weights ({type(error).__name__}: {error})") from error
        entries[name] = WeightEntry(
            name=name,
            role=f"emotion head, {modality}",
            kind="package",
            source=f"merkit, {name} {version}",
            files=(WeightFile(weights.name, sha256, size),),
            licence_code="Apache-2.0",
            licence_weights=licence,
            permissive=bool(permissive),
            non_commercial=bool(non_commercial),
            caution=str(facts.get("caution", "")),
            input=str(facts.get("input", f"merkit's {modality} features")),
            output=str(facts.get("output", "")),
            reference=str(facts.get("reference", "merkit")),
        )
    return entries


def shipped_sha256(name: str, folder: Path = SHIPPED) -> str:
    """Of the network `NAME.safetensors`, as `NAME.sha256` pins it.

    Raises:
        WeightError: it is missing.

    Example:
        >>> len(shipped_sha256("face-net"))
        64
    """
    try:
        return (folder / f"{name}.sha256").read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        raise WeightError(f"{name}, which ships with merkit, is missing: reinstall merkit") from None


def shipped_network(name: str, folder: Path = SHIPPED) -> bytes:
    """A network that ships with merkit but is no head: the content of its safetensors file.

    Raises:
        WeightError: it is missing, or not what was shipped.

    Example:
        >>> len(shipped_network("face-net")) > 1_000_000
        True
    """
    pinned = shipped_sha256(name, folder)
    try:
        data = (folder / f"{name}.safetensors").read_bytes()
    except FileNotFoundError:
        raise WeightError(f"{name}, which ships with merkit, is missing: reinstall merkit") from None
    if hashlib.sha256(data).hexdigest() != pinned:
        raise WeightError(f"{name}.safetensors is not the file that was shipped (sha256 differs)")
    return data
