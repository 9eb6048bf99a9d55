"""Words in front of an exported model: the very ids of training."""

import numpy as np
import pytest
from made_dialogues import tiny_folder

from merkit.data.table import ClipTable
from merkit.errors import ConfigError
from merkit.export import MerkitConfig, MerkitProcessor
from merkit.systems.hlm12erc_config import HLM12ERCConfig
from merkit.systems.hlm12erc_prompts import tokenised


def _processor(encoder: str, **text: object) -> tuple[HLM12ERCConfig, MerkitProcessor]:
    own = HLM12ERCConfig.model_validate({"text": {"encoder": encoder, **text}})
    about = MerkitConfig(
        system="hlm12erc", config=own.to_dict(), modalities=["text"], widths={"text": 1}, context=[-1, 0],
        encoders=[{"keys": ["text.encoder"], "name": encoder, "kind": "text", "folder": "", "limit": 48}],
    )  # fmt: skip
    return own, MerkitProcessor.of(about)


def test_words_for_hlm12erc_become_the_tokens_of_training() -> None:
    own, processor = _processor(tiny_folder("bert"), template="light")
    said, who = ["yes good day .", " ".join(["film"] * 60), "no", ""], ["joy", "", "anger", "calm"]
    table = ClipTable(
        "t", np.arange(4).astype(str), np.full(4, ""), {}, {}, {"character": np.array(who)}, texts=np.array(said)
    )
    wanted = tokenised(own, table).streams["text"]
    clips = [{"text": words, **({"speaker": name} if name else {})} for words, name in zip(said, who, strict=True)]
    # ids that are given already stay as they are
    clips.insert(2, {"text": np.array([[5.0], [6.0]])})
    made = processor(clips)
    found = [made["text"][row, :, 0][made["text_mask"][row]].tolist() for row in range(5)]
    assert found == [
        *(wanted.take(np.array([row])).x[:, 0].tolist() for row in (0, 1)), [5.0, 6.0],
        *(wanted.take(np.array([row])).x[:, 0].tolist() for row in (2, 3)),
    ]  # fmt: skip
    # a long turn keeps its end, which is what the network reads
    assert len(found[1]) > 48 and found[4] == [] and made["context"].shape[0] == 5


def test_words_for_a_model_that_reads_none_are_refused() -> None:
    _, processor = _processor("stored")
    with pytest.raises(ConfigError, match="reads no words"):
        processor([{"text": "yes"}])
