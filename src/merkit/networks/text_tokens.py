"""Words to token ids, with a count of what was cut off, and texts joined into windows that know whose each token is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from merkit.errors import WeightError
from merkit.networks.text_source import TextSource

__all__ = ["JoinedWindow", "Tokenised", "Tokeniser", "load_tokeniser"]


@dataclass(frozen=True, slots=True)
class Tokenised:
    """Texts as ids.

    Args:
        ids: of each text, special tokens included; empty where the text is blank.
        cut: numbers of the texts that lost their end.
    """

    ids: list[list[int]]
    cut: list[int]


@dataclass(frozen=True, slots=True, eq=False)
class JoinedWindow:
    """Several texts as one.

    Args:
        ids: of the whole, special tokens included.
        owner: `(T,)` which text each token belongs to; -1 for special tokens.
    """

    ids: list[int]
    owner: np.ndarray


class Tokeniser:
    """A Hugging Face tokenizer with one limit.

    Args:
        tokenizer: a fast one, which knows where in the text a token lies.
        limit: tokens of a text at most, special ones included.
        sha256: of its files.
    """

    def __init__(self, tokenizer: Any, limit: int, sha256: str = "") -> None:
        self.tokenizer, self.limit, self.sha256 = tokenizer, limit, sha256
        self.special = tokenizer.num_special_tokens_to_add()
        self.has_cls = tokenizer.cls_token_id is not None

    def __call__(self, texts: Sequence[str]) -> Tokenised:
        """The ids of each text. A blank text has none: nothing was said, which is not the same as two special tokens."""
        kept = [i for i, text in enumerate(texts) if text.strip()]
        if not kept:
            return Tokenised([[] for _ in texts], [])
        whole = self._run([texts[i] for i in kept], truncation=False)["input_ids"]
        long = [i for i, ids in zip(kept, whole, strict=True) if len(ids) > self.limit]
        found: list[list[int]] = [[] for _ in texts]
        for i, ids in zip(kept, whole, strict=True):
            found[i] = ids
        if long:
            # cut by the tokenizer, which keeps the special token at the end
            cut = self._run([texts[i] for i in long], truncation=True, max_length=self.limit)["input_ids"]
            for i, ids in zip(long, cut, strict=True):
                found[i] = ids
        return Tokenised(found, long)

    def windows(self, texts: Sequence[str]) -> list[JoinedWindow]:
        """Texts joined with blanks, as few windows as whole texts within the limit allow.

        A text that is over the limit alone is cut; blank ones own no token.
        """
        kept = [i for i, text in enumerate(texts) if text.strip()]
        if not kept:
            return []
        # a word within a line is written with the blank before it, which byte-pair tokenizers count in
        parts = self._run([f" {texts[i].strip()}" for i in kept], truncation=False, add_special_tokens=False)
        room, windows, used = self.limit - self.special, [[]], 0
        for i, ids in zip(kept, parts["input_ids"], strict=True):
            if windows[-1] and used + len(ids) > room:
                windows.append([])
                used = 0
            windows[-1].append(i)
            used += len(ids)
        return [self._window(texts, rows) for rows in windows]

    def _window(self, texts: Sequence[str], rows: list[int]) -> JoinedWindow:
        joined, begins = "", []
        for i in rows:
            joined += " " if joined else ""
            begins.append(len(joined))
            joined += texts[i].strip()
        made = self._run([joined], truncation=True, max_length=self.limit, return_offsets_mapping=True)
        spans = np.array(made["offset_mapping"][0], np.int64).reshape(-1, 2)
        # by its last letter: some tokenizers count the blank before a word as the word's first
        place = np.searchsorted(begins, spans[:, 1] - 1, "right") - 1
        owner = np.where(spans[:, 1] > spans[:, 0], np.array(rows)[place], -1)
        return JoinedWindow(made["input_ids"][0], owner)

    def _run(self, texts: list[str], **options: Any) -> Any:
        options = {"padding": False, "return_attention_mask": False, "verbose": False, **options}
        return self.tokenizer(texts, **options)


def load_tokeniser(source: TextSource, limit: Callable[[int], int]) -> Tokeniser:
    """The tokenizer of an encoder.

    Args:
        source: its files.
        limit: the tokenizer's own limit -> tokens of a text at most.

    Raises:
        WeightError: there is none, it needs code of its own, or it cannot say where its tokens lie.
    """
    from transformers import AutoTokenizer

    sha256 = source.tokenizer_sha256
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(
            str(source.folder), local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise WeightError(f"text encoder {source.name!r}: no tokenizer that merkit can use ({error})") from None
    if not tokenizer.is_fast:
        raise WeightError(f"text encoder {source.name!r}: its tokenizer does not say where in a text a token lies")
    # texts are padded on the right and cut there, whatever a generating model was used to
    tokenizer.padding_side = tokenizer.truncation_side = "right"
    return Tokeniser(tokenizer, limit(int(tokenizer.model_max_length)), sha256)
