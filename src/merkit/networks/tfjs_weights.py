"""Weights as TensorFlow.js stores them: one raw binary file and a manifest that says what lies where."""

import json
import math
from pathlib import Path

import numpy as np

from merkit.errors import WeightError

__all__ = ["read_tfjs"]


def read_tfjs(manifest: Path, binary: Path) -> dict[str, np.ndarray]:
    """The named arrays of a weights manifest.

    Arrays follow one another without gaps. A quantised one is stored as uint8 and means `stored * scale + min`.

    Args:
        manifest: `*-weights_manifest.json`.
        binary: the file that the manifest describes.

    Returns:
        name -> float32 array in TensorFlow's order: convolutions `(k, k, in, out)`.

    Raises:
        WeightError: the manifest cannot be read, names an unknown type, or does not cover the file exactly.
    """
    try:
        groups = json.loads(manifest.read_text(encoding="utf-8"))
        entries = [entry for group in groups for entry in group["weights"]]
        raw = binary.read_bytes()
        arrays: dict[str, np.ndarray] = {}
        start = 0
        for entry in entries:
            quantised = entry.get("quantization")
            stored = np.dtype({"float32": "<f4", "uint8": "u1"}[quantised["dtype"] if quantised else entry["dtype"]])
            count = math.prod(entry["shape"])
            array = np.frombuffer(raw, stored, count, start).astype(np.float32)
            if quantised:
                array = array * np.float32(quantised["scale"]) + np.float32(quantised["min"])
            arrays[entry["name"]] = array.reshape(entry["shape"])
            start += count * stored.itemsize
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightError(f"{manifest}: not a weights manifest of {binary.name} ({error!r})") from error
    if start != len(raw):
        raise WeightError(f"{manifest}: describes {start} bytes of {binary.name}, which has {len(raw)}")
    return arrays
