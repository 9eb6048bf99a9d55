"""Turns of a dialogue as they are written in a prompt, and as token ids of the encoder that reads them."""

import json
import logging
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from merkit.data.columns import TokenColumn
from merkit.data.table import ClipTable, Provenance
from merkit.errors import ConfigError
from merkit.features.tuned_runs import fitted_splits
from merkit.features.word_vectors import WordVectors
from merkit.models.hlm12erc.dialogue_text import special_ids
from merkit.networks.text_pretrained import load_text_encoder
from merkit.systems.hlm12erc_config import HLM12ERCConfig, TextConfig

__all__ = ["TEMPLATES", "prompts", "started_from", "started_on", "tokenised"]

_log = logging.getLogger(__name__)

TEMPLATES = {
    "published": ('\n\n\nThe speaker "{speaker}" said:\n###\n{text}\n###', "\n\n\nThe speaker said:\n###\n{text}\n###"),
    "light": ("\n{speaker}: {text}", "\n{text}"),
}
"""Name -> how a turn is written, with the name of who speaks and without it; turns follow one another as they are."""

_PLACES = re.compile(r"(\{text\}|\{speaker\})")
_SPEAKERS = ("character", "speaker")


def prompts(table: ClipTable, config: TextConfig) -> list[str]:
    """Each clip's words as a turn of a prompt; what is blank stays blank.

    Raises:
        ConfigError: no words, a template without `{text}`, or nobody is known to speak where a speaker is asked by name.

    Example:
        >>> table = ClipTable("t", np.array(["a"]), np.array(["train"]), {}, {}, {"character": np.array(["Ross"])},
        ...     texts=np.array(["Hi."]))
        >>> prompts(table, TextConfig(template="light")), prompts(table, TextConfig(template="{text} /", speakers=False))
        (['\\nRoss: Hi.'], ['Hi. /'])
    """
    if table.texts is None:
        raise ConfigError(f"text.encoder={config.encoder}: corpus {table.name} has no words")
    full, bare = TEMPLATES.get(config.template, (config.template, config.template.replace("{speaker}", "")))
    if "{text}" not in full:
        raise ConfigError(f"text.template={config.template!r}: {', '.join(TEMPLATES)}, or a text with {{text}} in it")
    who = _speakers(table, config) if config.speakers and "{speaker}" in full else None
    made = []
    for i, text in enumerate(table.texts):
        name, words = "" if who is None else str(who[i]).strip(), str(text).strip()
        # by pieces: a name or an utterance may hold braces itself
        said = {"{text}": words, "{speaker}": name}
        pieces = _PLACES.split(full if name else bare)
        made.append("".join(said.get(piece, piece) for piece in pieces) if words else "")
    return made


def _speakers(table: ClipTable, config: TextConfig) -> np.ndarray | None:
    if config.speaker_group != "auto":
        if config.speaker_group not in table.groups:
            raise ConfigError(
                f"text.speaker_group={config.speaker_group}: the groups of {table.name} are {', '.join(table.groups) or 'none'}"
            )
        return table.groups[config.speaker_group]
    return next((table.groups[kind] for kind in _SPEAKERS if kind in table.groups), None)


def tokenised(config: HLM12ERCConfig, table: ClipTable) -> ClipTable:
    """Any table with words, as this system reads it: the stream `text` of token ids, one row a turn, in place of its own.

    Every turn ends with the special token that the encoder's texts end with, if any; the one that they begin with is set
    before the first turn that is read (`merkit.models.hlm12erc.DialogueText`).

    Raises:
        ConfigError: it has no words.
        WeightError: the encoder is not on this machine.
    """
    text = config.text
    if text.encoder == "vectors":
        return _numbered(table, text)
    encoder = load_text_encoder(
        text.encoder, pooling="last", max_tokens=text.limit, weights=False, download=text.download
    )
    begin, end = special_ids(encoder.tokeniser.tokenizer)
    written = prompts(table, text)
    kept = [i for i, turn in enumerate(written) if turn]
    ids: list[np.ndarray | None] = [None] * len(written)
    if kept:
        options: dict[str, Any] = {"add_special_tokens": False, "return_attention_mask": False, "verbose": False}
        made = encoder.tokeniser.tokenizer([written[i] for i in kept], **options)["input_ids"]
        for i, own in zip(kept, made, strict=True):
            ids[i] = np.array([*own, *end], np.float32)[:, None]
    over = sum(own is not None and len(own) + len(begin) > encoder.tokeniser.limit for own in ids)
    source = f"token ids of {encoder.name} ({encoder.tokeniser.sha256[:12]}), turns as {text.template!r}"
    if over:
        _log.warning("%s: %d of %d utterances alone are over %d tokens and lose their beginning", table.name, over, len(table),
                     encoder.tokeniser.limit)  # fmt: skip
        source += f"; {over} utterances lose their beginning"
    streams = {"text": TokenColumn.of_sequences(ids, width=1)}
    streams |= {name: column for name, column in table.streams.items() if name != "text"}
    fitted_on = tuple(dict.fromkeys([*encoder.fitted_on, *started_on(config)]))
    about = table.described(Provenance(source, fitted_on))
    return replace(table, streams=streams, provenance={**table.provenance, "text": about})


def _numbered(table: ClipTable, text: TextConfig) -> ClipTable:
    """The stream `text` as numbers of words in a file of word vectors; words that it does not have are left out."""
    assert text.vectors is not None
    words = WordVectors(text.vectors)
    most = text.vector_words or len(words.table)
    numbers = [own[own < most] for own in words.numbers(prompts(table, text))]
    column = TokenColumn.of_sequences([own[:, None].astype(np.float32) for own in numbers], width=1)
    streams = {"text": column, **{name: own for name, own in table.streams.items() if name != "text"}}
    about = {**table.provenance, "text": Provenance(f"numbers of words in {words.id}")}
    return replace(table, streams=streams, provenance=about)


def started_from(config: HLM12ERCConfig) -> Path:
    """The file or folder of one seed that `start` names: of a run with several seeds, the one with this run's.

    Raises:
        ConfigError: there is no such seed.
    """
    named = Path(config.start).expanduser()
    seeds = sorted(each.parent.name for each in named.glob("seed-*/model.safetensors"))
    if not seeds:
        return named
    if f"seed-{config.trainer.seed}" not in seeds:
        raise ConfigError(
            f"start={config.start} holds {', '.join(seeds)} and none of seed {config.trainer.seed}: name one"
        )
    return named / f"seed-{config.trainer.seed}"


def started_on(config: HLM12ERCConfig) -> tuple[str, ...]:
    """Splits whose labels a run saw that is begun with; none where nobody knows."""
    held = started_from(config) / "config.json" if config.start else None
    if held is None or not held.is_file():
        return ()
    return fitted_splits(json.loads(held.read_text(encoding="utf-8")).get("config", {}).get("data", {}))
