"""From a manifest to what the MERC2020 networks read: OUT/features (speech, text) and OUT/faces (bytes).

Of the challenge or of anybody's own clips. Both stores are filled by `extract_many`, so a run that was ended goes on where
it was, and every clip that cannot be used is named with its reason.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from merkit.corpora.inputs import InputPass, Progress, made_inputs
from merkit.corpora.manifest import Manifest
from merkit.corpora.merc2020.templates import copy_templates

if TYPE_CHECKING:
    from merkit.features.extraction import ClipExtractor

__all__ = ["FACES", "FEATURES", "prepare_inputs"]

FEATURES, FACES = "features", "faces"


def prepare_inputs(
    manifest: Manifest,
    out: Path,
    *,
    heard: "ClipExtractor | None" = None,
    seen: "ClipExtractor | None" = None,
    progress: Progress | None = None,
    **engine: Any,
) -> Manifest:
    """Makes the inputs of every clip.

    A modality that cannot be made is taken from its clip, with the reason; a clip of which nothing is left is left out.

    Args:
        manifest: of the challenge or of any corpus; its clips name video, sound or words.
        out: folder for the stores and, of the challenge, the submission templates.
        heard: makes speech and text; None for `HeardExtraction()`, which reads no words but the challenge's.
        seen: makes pictures; None for `SeenExtraction()`.
        progress: told which store is filled, and how far.
        engine: of `extract_many`: `engine`, `workers`, `threads`, `timeout_s`.

    Returns:
        The manifest of what can be used, not yet written.

    Raises:
        ConfigError: nothing can be used.
        WeightError: the face detector's weights are missing.
        StoreError: a store is damaged, or there is one of another number type.
    """
    from merkit.features.raw_inputs import HeardExtraction, SeenExtraction

    passes = (
        InputPass(FEATURES, ("speech", "text"), ("speech", "text"), heard or HeardExtraction(), "float16"),
        # sound is listened to again, for the pictures between the first and the last moment of voice
        InputPass(FACES, ("face",), ("face", "speech"), seen or SeenExtraction(), "uint8"),
    )
    made = made_inputs(manifest, out, passes, progress=progress, **engine)
    templates: Mapping[str, str] = manifest.facts.get("templates", {})
    if not templates:
        return made
    copied = copy_templates({p: manifest.root / name for p, name in templates.items()}, out)
    return replace(made, facts={**made.facts, "submissions": copied})
