"""Text encoders of a few thousand random weights, with a tokenizer of a few words, written as `save_pretrained` does."""

from pathlib import Path

import torch

WORDS = "a b c yes no good bad day the film is was very not it . joy anger calm".split(" ")  # noqa: SIM905
KINDS = ("roberta", "bert", "gpt2", "distilbert")


def write_encoder(folder: Path, kind: str = "roberta", *, positions: int = 20, seed: int = 0, words=WORDS) -> Path:
    """A folder with `config.json`, `model.safetensors` and `tokenizer.json` of a tiny encoder."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    special = {"roberta": ["<s>", "<pad>", "</s>", "<unk>"], "gpt2": ["<unk>"]}
    vocabulary = {word: i for i, word in enumerate([*special.get(kind, ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]), *words])}
    _tokenizer(kind, vocabulary).save_pretrained(folder)
    torch.manual_seed(seed)
    _model(kind, len(vocabulary), positions).save_pretrained(folder)
    return folder


def _tokenizer(kind: str, vocabulary: dict[str, int]):
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    unknown = "<unk>" if "<unk>" in vocabulary else "[UNK]"
    made = Tokenizer(models.WordLevel(vocabulary, unk_token=unknown))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    names = {"unk_token": unknown}
    if kind == "roberta":
        made.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
        names |= {
            "cls_token": "<s>",
            "bos_token": "<s>",
            "sep_token": "</s>",
            "eos_token": "</s>",
            "pad_token": "<pad>",
        }
    elif kind != "gpt2":
        made.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
        names |= {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]"}
    return PreTrainedTokenizerFast(tokenizer_object=made, **names)


def _model(kind: str, vocabulary: int, positions: int):
    from transformers import (
        BertConfig,
        BertModel,
        DistilBertConfig,
        DistilBertModel,
        GPT2Config,
        GPT2Model,
        RobertaConfig,
        RobertaModel,
    )

    if kind == "gpt2":
        return GPT2Model(
            GPT2Config(vocab_size=vocabulary, n_embd=16, n_layer=2, n_head=2, n_positions=positions,
                       bos_token_id=None, eos_token_id=None)
        )  # fmt: skip
    if kind == "distilbert":
        return DistilBertModel(
            DistilBertConfig(
                vocab_size=vocabulary, dim=16, n_layers=2, n_heads=2, hidden_dim=32, max_position_embeddings=positions
            )
        )
    size = {"vocab_size": vocabulary, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
            "intermediate_size": 32, "max_position_embeddings": positions, "initializer_range": 0.3}  # fmt: skip
    if kind == "bert":
        return BertModel(BertConfig(**size, pad_token_id=0))
    return RobertaModel(RobertaConfig(**size, pad_token_id=1, bos_token_id=0, eos_token_id=2))
