"""What stands in front of an exported model: streams of clips in, named tensors out, by the very collation of training."""

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from transformers.feature_extraction_utils import BatchFeature
from transformers.processing_utils import ProcessorMixin

from merkit.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from merkit.export.config import MerkitConfig

__all__ = ["MerkitProcessor"]

_FILE = "processor_config.json"


class MerkitProcessor(ProcessorMixin):
    """Streams of clips to the tensors that the model takes.

    Args:
        merkit: the export's config as plain values: which streams, where their features come from, how they are sampled.

    Example:
        >>> from merkit.export.config import MerkitConfig
        >>> from merkit.systems.fusion import FusionConfig
        >>> processor = MerkitProcessor.of(MerkitConfig(system="fusion", config=FusionConfig().to_dict(), modalities=["text"],
        ...     widths={"text": 2}))
        >>> made = processor([{"text": np.ones((3, 2))}, {"text": np.ones((1, 2))}])
        >>> made["text"].shape, made["text_mask"].tolist()
        (torch.Size([2, 3, 2]), [[True, True, True], [True, False, False]])
    """

    attributes: list[str] = []  # noqa: RUF012  transformers reads it off the class

    def __init__(self, merkit: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__()
        self.merkit = dict(merkit or {})
        self.folder: Path | None = None

    @classmethod
    def of(cls, config: "MerkitConfig") -> "MerkitProcessor":
        """The processor of a model with that config."""
        names = ("system", "config", "modalities", "widths", "targets", "streams", "context", "times", "encoders")
        return cls({name: getattr(config, name) for name in names})

    @property
    def config(self) -> "MerkitConfig":
        """As the model has it."""
        from merkit.export.config import MerkitConfig

        return MerkitConfig(**self.merkit)

    def __call__(self, clips: Sequence[Mapping[str, Any]], **_: Any) -> BatchFeature:
        """Clips as named tensors.

        Args:
            clips: stream -> tokens of each clip: `(T, D)`, one vector `(D,)`, a `TokenSequence` (whose times are kept), or, for
                streams of persons, person -> tokens. Words where the model reads words: text becomes ids by its encoder's
                own tokenizer, and of `hlm12erc` as in training, within its template, with who speaks if `speaker` says so
                (`{"text": "Hi!", "speaker": "Ross"}`). What is left out is absent.

        Raises:
            ConfigError: a stream that the model does not take, tokens of another width, or words where it reads none.
            WeightError: the tokenizer is neither beside the model nor on this machine.
        """
        from merkit.data.batch import collate
        from merkit.data.context import dialogue_context
        from merkit.export.tables import table_of
        from merkit.export.tensors import tensors_of
        from merkit.systems.system import find_system

        config = self.config
        system = find_system(config.system)
        told = self._as_turns(clips) if config.system == "hlm12erc" else [self._told(clip) for clip in clips]
        table = table_of(config, told)
        from merkit.config import config_from

        own = config_from(system.config, config.config)
        batch = collate(
            table,
            np.arange(len(table)),
            modalities=tuple(config.modalities),
            context=dialogue_context(table, *config.context),
            with_targets=False,
            sampling=system.sampling(own, table),
        )
        return BatchFeature(tensors_of(config, batch))

    def _told(self, clip: Mapping[str, Any]) -> dict[str, Any]:
        """A clip with its words as ids."""
        said = {name: given for name, given in clip.items() if isinstance(given, str)}
        if not said:
            return dict(clip)
        made = self._tokeniser(list(said.values())).ids
        ids = {name: np.array(own, np.float32)[:, None] for name, own in zip(said, made, strict=True)}
        return {**clip, **ids}

    def _as_turns(self, clips: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Clips of `hlm12erc` with their words as ids, by what makes them in training: template, speaker, special tokens."""
        from merkit.config import config_from
        from merkit.data.table import ClipTable
        from merkit.export.encoders import located
        from merkit.systems.hlm12erc_config import HLM12ERCConfig
        from merkit.systems.hlm12erc_prompts import tokenised

        told = [{name: given for name, given in clip.items() if name != "speaker"} for clip in clips]
        rows = [row for row, clip in enumerate(told) if isinstance(clip.get("text"), str)]
        if not rows:
            return told
        # what the run began with is in its weights, and need not be on this machine
        own = config_from(HLM12ERCConfig, {**located(self.config, self.folder), "start": ""})
        if own.text.encoder in ("", "none", "stored"):
            raise ConfigError("this model reads no words: give it tokens")
        group = "speaker" if own.text.speaker_group == "auto" else own.text.speaker_group
        n, who = len(rows), [str(clips[row].get("speaker") or "") for row in rows]
        table = ClipTable(
            "given", np.arange(n).astype(str), np.full(n, ""), {}, {}, {group: np.array(who)},
            texts=np.array([told[row]["text"] for row in rows]),
        )  # fmt: skip
        ids = tokenised(own, table).streams["text"]
        for i, row in enumerate(rows):
            told[row]["text"] = ids.take(np.array([i])).x
        return told

    @cached_property
    def _tokeniser(self) -> Any:
        from merkit.networks.text_source import find_text_source
        from merkit.networks.text_tokens import load_tokeniser

        each = next((each for each in self.merkit.get("encoders", ()) if each["kind"] == "text"), None)
        if each is None:
            raise ConfigError("this model reads no words: give it tokens")
        own = None if self.folder is None else self.folder / (each["folder"] or each["name"])
        name = str(own) if own is not None and (own / "config.json").is_file() else each["name"]
        return load_tokeniser(find_text_source(name), lambda _: each["limit"])

    def save_pretrained(self, save_directory: str | Path, push_to_hub: bool = False, **kwargs: Any) -> list[str]:
        """Writes `processor_config.json`."""
        path = Path(save_directory) / _FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {"processor_class": type(self).__name__, "merkit": self.merkit}
        path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        if push_to_hub:
            self.push_to_hub(kwargs.pop("repo_id", Path(save_directory).name), **kwargs)
        return [str(path)]

    @classmethod
    def from_pretrained(  # ty: ignore[incompatible-method-override]
        cls, pretrained_model_name_or_path: str | Path, **kwargs: Any
    ) -> "MerkitProcessor":
        """The processor of an exported folder, or of a model on the hub.

        Raises:
            StoreError: there is none.
        """
        from transformers.utils.hub import cached_file

        try:
            hub = {key: kwargs[key] for key in ("revision", "token", "cache_dir", "local_files_only") if key in kwargs}
            path = cached_file(str(pretrained_model_name_or_path), _FILE, **hub)
            content = json.loads(Path(str(path)).read_text(encoding="utf-8"))
            made = cls(content["merkit"])
            made.folder = Path(str(path)).parent
            return made
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(f"{pretrained_model_name_or_path}: no merkit processor ({error})") from None
