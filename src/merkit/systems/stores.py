"""Streams of one corpus that lie in several stores."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from merkit.data.table import ClipTable

if TYPE_CHECKING:
    from merkit.corpora import Manifest
    from merkit.features.store import FeatureStore

__all__ = ["with_store"]


def with_store(table: ClipTable, manifest: "Manifest", store: "FeatureStore", modalities: Sequence[str]) -> ClipTable:
    """The clips with these modalities of a store beside the streams that they have. Persons lose their names: of two stores they
    need not be the same.

    Raises:
        StoreError: the store is damaged.

    Example:
        >>> with_store(clip_table(manifest, speech), manifest, pictures, ["face"])  # doctest: +SKIP
    """
    from merkit.corpora import clip_table

    part = clip_table(manifest, store, modalities)
    return replace(
        part,
        streams={**table.streams, **part.streams},
        provenance={**table.provenance, **part.provenance},
        texts=table.texts if part.texts is None else part.texts,
        media_sha256=table.media_sha256 if part.media_sha256 is None else part.media_sha256,
        entities=None,
    )
