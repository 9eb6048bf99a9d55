"""MovieGraphs as published: graphs of scenes, features of what is seen and said, tracks of faces and whose they are."""

from merkit.corpora.moviegraphs.corpus import MOVIEGRAPHS, with_options
from merkit.corpora.moviegraphs.options import FEATURES, Options

__all__ = ["FEATURES", "MOVIEGRAPHS", "Options", "with_options"]
