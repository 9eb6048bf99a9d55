"""The lists that SSE-FT and BERT-like published: which clips were trained on, chosen by and tested on, and their labels."""

from merkit.corpora.sse_manifests.corpus import SSE_MANIFESTS

__all__ = ["SSE_MANIFESTS"]
