"""Whether features of a folder are those that a run was trained on."""

from collections.abc import Mapping
from typing import Any

from merkit.data.table import ClipTable

__all__ = ["other_features_of"]


def other_features_of(record: Mapping[str, Any], table: ClipTable, name: str) -> tuple[str, str] | None:
    """The sources of a stream here and in training, where both are known and differ; else None.

    Args:
        record: of the run.
        table: what the folder holds.
        name: of the stream.
    """
    here = table.provenance[name].source if name in table.provenance else ""
    there = record["data"].get("provenance", {}).get(name, {}).get("source", "")
    # behind a semicolon stands what is of the corpus, such as how many texts lose their end
    return (here, there) if here and there and here.split(";")[0] != there.split(";")[0] else None
