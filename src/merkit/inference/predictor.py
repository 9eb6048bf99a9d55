"""The Predictor: models loaded once, then one timeline per clip."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from merkit import __version__
from merkit.errors import ConfigError
from merkit.features.clip import ClipFeatures, Progress, Tools, extract_clip
from merkit.inference.first import LIKENESS, FirstModel, load_first
from merkit.inference.timeline import build_timeline
from merkit.report.notice import NOTICE
from merkit.schema import Clip, Modality, Timeline
from merkit.weights import is_cached

__all__ = ["Predictor", "analyze"]

# model name -> loader(modalities, licence)
MODELS: dict[str, Callable[[Sequence[Modality], str], FirstModel]] = {"first": load_first}

# What tells a media file from the other inputs that `analyze` takes.
_TEXT_SUFFIXES = {".srt", ".vtt", ".txt", ".tsv"}
_TABLE_SUFFIXES = {".csv"}


class Predictor:
    """A model with its tools, ready for any number of clips.

    Args:
        model: heads and what is known about them.
        tools: the loaded extractors, detectors and recogniser that the heads were trained behind.

    Example:
        >>> predictor = Predictor.load("first")  # doctest: +SKIP
        >>> timeline = predictor.predict_files("talk.mp4")  # doctest: +SKIP
        >>> timeline.labels[timeline.summary[0].fused.argmax()]  # doctest: +SKIP
        'neutral'
    """

    def __init__(self, model: FirstModel, tools: Tools) -> None:
        self.model = model
        self.tools = tools

    @classmethod
    def load(
        cls,
        model: str = "first",
        *,
        modalities: Sequence[Modality] = ("face", "speech", "text", "physiology"),
        licence: str = "any",
        asr: str | None = None,
    ) -> "Predictor":
        """Loads a model for the wanted modalities.

        Args:
            model: a name from `MODELS`.
            modalities: which to use; the others are reported as not asked for.
            licence: `any`, or `permissive`: only weights whose licence allows any use.
            asr: a Hugging Face speech recogniser by folder or name (a name may reach the network); None for Whisper
                tiny.en, which knows English only.

        Raises:
            ConfigError: no such model, or nothing left to judge with.
            WeightError: weights are not in the cache; the message says how to fetch them.
        """
        if model not in MODELS:
            raise ConfigError(f"no model {model!r}; there is: {', '.join(MODELS)}")
        first = MODELS[model](modalities, licence)
        return cls(first, first.tools(modalities, asr))

    def features(self, clip: Clip, *, fps: float = 3.0, progress: Progress | None = None) -> ClipFeatures:
        """The clip's tokens, by the same call that training makes."""
        return extract_clip(clip, self.tools, fps=fps, progress=progress, absent=self.model.absent)

    def predict(
        self,
        clip: Clip,
        *,
        fps: float = 3.0,
        window_s: float = 1.0,
        hop_s: float = 0.5,
        progress: Progress | None = None,
    ) -> Timeline:
        """One clip's timeline.

        Args:
            clip: the clip.
            fps: face frames a second.
            window_s: length of a window in seconds.
            hop_s: seconds from one window to the next.
            progress: called with seconds done and seconds in all (None while unknown).

        Raises:
            MediaError: a file of the clip cannot be used; nothing else goes wrong silently.
        """
        if not (fps > 0 and window_s > 0 and hop_s > 0):
            raise ConfigError(f"fps, window and hop must be positive; got {fps}, {window_s}, {hop_s}")
        features = self.features(clip, fps=fps, progress=progress)
        return build_timeline(
            features,
            self.model.heads,
            window_s=window_s,
            hop_s=hop_s,
            clip=_facts(features),
            model=self.model.facts({row.modality for row in features.presence if row.present}),
            settings={"fps": fps, "window_s": window_s, "hop_s": hop_s, "merkit": __version__}
            | {"extractors": dict(features.extractor_ids), "persons_joined_across_shots": is_cached(LIKENESS)},
            notice=NOTICE,
        )

    def predict_files(
        self,
        path: str | Path,
        *,
        subtitles: str | Path | None = None,
        physio: str | Path | None = None,
        **options: Any,
    ) -> Timeline:
        """`predict` over files as a user has them.

        Args:
            path: video or audio; or subtitles, a timed transcript or a physiology table alone, told by the suffix.
            subtitles: the words; by default `PATH.srt` or `PATH.vtt` beside the media file, where there is one.
            physio: a physiology table.
            options: as for `predict`.
        """
        media: Path | None = Path(path)
        suffix = Path(path).suffix.lower()
        if suffix in _TEXT_SUFFIXES:
            media, subtitles = None, path
        elif suffix in _TABLE_SUFFIXES:
            media, physio = None, path
        elif subtitles is None:
            beside = (Path(path).with_suffix(kind) for kind in (".srt", ".vtt"))
            subtitles = next((file for file in beside if file.is_file()), None)
        clip = Clip.from_files(media, subtitles=subtitles, physio=physio, clip_id=Path(path).stem)
        return self.predict(clip, **options)


def analyze(path: str | Path, *, model: str = "first", licence: str = "any", **options: Any) -> Timeline:
    """What does it say about my clip? One file in, its timeline out.

    For several clips load a `Predictor` once and call `predict_files` for each.

    Args:
        path: video, audio, subtitles or a physiology table.
        model: name of the model.
        licence: `any` or `permissive`.
        options: `subtitles`, `physio`, `fps`, `window_s`, `hop_s`, `progress` as for `Predictor.predict_files`.

    Example:
        >>> timeline = analyze("talk.mp4", window_s=1.0)  # doctest: +SKIP
    """
    return Predictor.load(model, licence=licence).predict_files(path, **options)


def _facts(features: ClipFeatures) -> dict[str, Any]:
    info = features.info
    path = features.clip.streams[0].path
    if path is None:
        raise ValueError(f"clip {features.clip.id} has no file")
    video = info.video if info else None
    return {
        "id": features.clip.id,
        "file": path.name,
        "sha256": _sha256(path),
        "kind": "video" if video else "audio" if info else "text",
        "duration_s": features.duration_s,
        # as decoded, upright: the header states a turned clip as it is coded
        "width": features.picture[0] if features.picture else video.width if video else None,
        "height": features.picture[1] if features.picture else video.height if video else None,
        "fps": video.fps if video else None,
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
