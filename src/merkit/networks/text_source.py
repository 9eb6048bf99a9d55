"""Where an encoder's files lie: a folder, the catalogue, or Hugging Face's cache. Nothing is fetched unasked.

Made for text encoders; encoders of speech and pictures are found by the same rules (`what`, `also`).
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from merkit.errors import WeightError
from merkit.weights import CATALOGUE, locate
from merkit.weights.cache import sha256_of

__all__ = ["FITTED", "TextSource", "find_text_source"]

# Beside the files of a tuned encoder: what it was fitted on, so that the leakage check knows when it is used elsewhere.
FITTED = "merkit.json"

# Short names of the catalogue, with the longest text that the model was trained on (0 = what its config says).
_CATALOGUE = {"minilm": ("minilm-l6", 256)} | {
    name: (name, 0) for name in ("roberta-base", "wav2vec2-base", "wavlm-base-plus", "resnet-50")
}
_TOKENIZER = (
    "tokenizer.json", "vocab.txt", "vocab.json", "merges.txt", "sentencepiece.bpe.model", "spiece.model", "spm.model"
)  # fmt: skip
_WANTED = ["config.json", "model*.safetensors", "model.safetensors.index.json", "tokenizer*", "special_tokens_map.json",
           "added_tokens.json", *_TOKENIZER]  # fmt: skip


@dataclass(frozen=True, slots=True)
class TextSource:
    """The files of one encoder.

    Args:
        name: how people call it; a folder's own name, never the way to it.
        folder: with `config.json`, tokenizer and `model*.safetensors`.
        max_tokens: longest text that it was trained on, where the files do not say so themselves; 0 = they do.
        what: it is, for messages.
    """

    name: str
    folder: Path
    max_tokens: int = 0
    what: str = "text encoder"

    @property
    def weights_sha256(self) -> str:
        """One hash over the weight files and the architecture.

        Raises:
            WeightError: there are no weights as safetensors.
        """
        weights = sorted(self.folder.glob("model*.safetensors"))
        if not weights:
            other = sorted(path.name for path in self.folder.glob("*.bin"))
            why = f"only {', '.join(other)}, which is pickle and may run code" if other else "no weights at all"
            raise WeightError(
                f"{self.what} {self.name!r}: {self.folder} holds {why}; wanted is model.safetensors "
                "(`model.save_pretrained(FOLDER)` writes it)"
            )
        return _together([*weights, self.folder / "config.json"])

    @property
    def tokenizer_sha256(self) -> str:
        """One hash over what turns words into ids.

        Raises:
            WeightError: there is no tokenizer.
        """
        # tokenizer.json is the whole tokenizer; the other files are what it was once made from
        files = [self.folder / name for name in _TOKENIZER if (self.folder / name).is_file()][:1]
        if files and files[0].name != "tokenizer.json":
            files = [self.folder / name for name in _TOKENIZER if (self.folder / name).is_file()]
        if not files:
            raise WeightError(f"{self.what} {self.name!r}: {self.folder} holds no tokenizer ({', '.join(_TOKENIZER)})")
        return _together(files)

    @property
    def fitted_on(self) -> tuple[str, ...]:
        """Splits whose labels the encoder saw, where it was tuned and saved by merkit; empty for any other.

        Raises:
            WeightError: the note about it is damaged.
        """
        note = self.folder / FITTED
        if not note.is_file():
            return ()
        try:
            return tuple(str(split) for split in json.loads(note.read_text(encoding="utf-8"))["fitted_on"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise WeightError(f"{note}: does not say what the encoder was fitted on ({error})") from None


def _together(files: list[Path]) -> str:
    return hashlib.sha256("\n".join(f"{path.name} {sha256_of(path)}" for path in files).encode()).hexdigest()


def find_text_source(
    name: str, *, download: bool = False, what: str = "text encoder", also: Sequence[str] = ()
) -> TextSource:
    """The encoder of that name on this machine.

    Args:
        name: `minilm`, `minilm-emotions` (its upper layers as merkit tuned them on GoEmotions); a folder that `save_pretrained`
            wrote; or a name on the Hugging Face hub, such as `roberta-base`.
        download: fetch a hub name that is not on this machine (to Hugging Face's own cache). `HF_HUB_OFFLINE=1` forbids it.
        what: it is, for messages.
        also: more files that it needs, as patterns.

    Raises:
        WeightError: it is not on this machine; the message says how to get it.

    Example:
        >>> find_text_source("no such/encoder")
        Traceback (most recent call last):
        ...
        merkit.errors.WeightError: text encoder 'no such/encoder' is neither a folder nor a name on the Hugging Face hub
    """
    folder = Path(name).expanduser()
    if (folder / "config.json").is_file():
        return TextSource(folder.resolve().name, folder, what=what)
    if name == "minilm-emotions":
        from merkit.networks.minilm_emotions import minilm_emotions

        return TextSource(name, minilm_emotions(), _CATALOGUE["minilm"][1], what)
    entry, max_tokens = _CATALOGUE.get(name, ("", 0))
    missing = ""
    if entry:
        try:
            return TextSource(name, locate(entry), max_tokens, what)
        except WeightError as error:
            if CATALOGUE[entry].kind != "hub":
                raise
            missing = str(error)
    return TextSource(name, _from_hub(name, download, missing, what, also), what=what)


def _from_hub(name: str, download: bool, missing: str, what: str, also: Sequence[str]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    why = ""
    for offline in (True, False) if download else (True,):
        try:
            found = Path(snapshot_download(name, local_files_only=offline, allow_patterns=[*_WANTED, *also]))
            if (found / "config.json").is_file():
                return found
            why = f"{found} holds no config.json"
        except HFValidationError:
            raise WeightError(f"{what} {name!r} is neither a folder nor a name on the Hugging Face hub") from None
        except (LocalEntryNotFoundError, HfHubHTTPError, OSError, ValueError) as error:
            why = " ".join(str(error).split())[:200]
    if download:
        raise WeightError(f"{what} {name!r} could not be fetched from the Hugging Face hub: {why}")
    if missing:
        raise WeightError(missing)
    raise WeightError(
        f"{what} {name!r} is not on this machine, and nothing is fetched unasked: download=true (`--download`) "
        f"fetches it from the Hugging Face hub, `hf download {name}` does so beforehand, and a folder with config.json, "
        f"{'tokenizer.json' if what == 'text encoder' else 'preprocessor_config.json'} and model.safetensors can be named "
        "in its place"
    )
