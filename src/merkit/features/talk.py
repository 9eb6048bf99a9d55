"""Utterances in, text and speech tokens out."""

import numpy as np

from merkit.features.extractor import Extractor
from merkit.features.joined import joined
from merkit.features.utterances import Utterance
from merkit.schema import Modality, TokenSequence

__all__ = ["talk_tokens"]

# Lines of text whose tokens are made at once.
_LINES = 128


def talk_tokens(
    utterances: list[Utterance], text: Extractor | None, tokens: dict[tuple[Modality, str | None], TokenSequence]
) -> dict[Modality, np.ndarray]:
    """Text and speech tokens of all utterances, in order, spread evenly over each utterance's time unless they have their own.

    Args:
        utterances: in time order; their speech tokens are taken from them.
        text: makes tokens of words; None leaves them out.
        tokens: takes what is made, under the clip as a whole.

    Returns:
        Modality -> `(T,)` index of the utterance that a token belongs to.

    Example:
        >>> made = {}
        >>> said = [Utterance(0.0, 1.0, speech=np.zeros((2, 3), np.float32))]
        >>> talk_tokens(said, None, made)["speech"], made["speech", None].start_s
        (array([0, 0]), array([0. , 0.5]))
    """
    voiced = [(i, u.speech) for i, u in enumerate(utterances) if u.speech is not None and len(u.speech)]
    made: dict[Modality, tuple[list[int], list[int], list[np.ndarray]]] = {
        "speech": ([i for i, _ in voiced], [len(x) for _, x in voiced], [x for _, x in voiced])
    }
    own_s = [u.speech_s for u in utterances if u.speech is not None and len(u.speech) and u.speech_s is not None]
    voiced.clear()
    for utterance in utterances:
        utterance.speech = utterance.speech_s = (
            None  # the tokens below are the only copy that an hour of talk can afford
        )
    if text is not None:
        lines = [(i, u.text) for i, u in enumerate(utterances) if u.text and u.text.strip()]
        counts, blocks = [], []
        for first in range(0, len(lines), _LINES):
            parts = text([line for _, line in lines[first : first + _LINES]])
            counts += [len(part) for part in parts]
            blocks.append(np.concatenate(parts))
        made["text"] = ([i for i, _ in lines], counts, blocks)
    segment_of: dict[Modality, np.ndarray] = {}
    for modality, (index, lengths, blocks) in made.items():
        if not index:
            continue
        owner = np.repeat(index, lengths)
        start_s = np.array([u.start_s for u in utterances])[owner]
        length_s = np.array([u.end_s for u in utterances])[owner] - start_s
        step = np.concatenate([np.arange(n) for n in lengths])
        share = np.repeat(lengths, lengths)
        spans_s = np.stack([start_s + length_s * step / share, start_s + length_s * (step + 1) / share])
        if modality == "speech" and own_s:
            spans_s = np.concatenate(own_s).T
        tokens[modality, None] = TokenSequence(joined(blocks), *np.ascontiguousarray(spans_s))
        segment_of[modality] = owner
    return segment_of
