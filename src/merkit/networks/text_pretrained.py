"""From a name to a text encoder with its weights: what transformers reads, held to what merkit promises.

Weights come from safetensors alone, no code that comes with a model is run, and a weight that is missing is an error: a
network that is partly chance answers as confidently as any other.
"""

from typing import Any

import torch
from torch import nn

from merkit.errors import ConfigError, WeightError
from merkit.networks.text_encoder import TextEncoder, TextPooling, quiet_transformers
from merkit.networks.text_source import TextSource, find_text_source
from merkit.networks.text_tokens import load_tokeniser

__all__ = ["load_text_encoder"]


def load_text_encoder(
    name: str,
    *,
    pooling: TextPooling = "mean",
    max_tokens: int = 0,
    freeze_layers: int = 0,
    weights: bool = True,
    training: bool = False,
    download: bool = False,
) -> TextEncoder:
    """The encoder of that name with its weights, in evaluation mode.

    Args:
        name: `minilm`, a folder, or a name on the Hugging Face hub (see `find_text_source`).
        pooling: see `TextEncoder`.
        max_tokens: tokens of a text at most; 0 = as many as the encoder takes.
        freeze_layers: see `TextEncoder`.
        weights: False leaves random ones, to load others into.
        training: a pooler that the files have no weights for may begin with random ones; else that is an error.
        download: fetch what is not on this machine.

    Raises:
        WeightError: not on this machine, no safetensors, weights missing, or code of its own.
        ConfigError: a pooling, limit or number of layers that it does not have.

    Example:
        >>> load_text_encoder("minilm").encode(["Good morning!"]).shape  # doctest: +SKIP
        (1, 384)
    """
    source = find_text_source(name, download=download)
    config = _config_of(source)
    backbone = _pretrained(source, config, pooling, training) if weights else _random(config)
    encoder = TextEncoder(
        backbone,
        load_tokeniser(source, lambda own: _limit(source, backbone, own, max_tokens)),
        pooling=pooling,
        freeze_layers=freeze_layers,
        name=source.name,
        sha256=source.weights_sha256 if weights else "",
        fitted_on=source.fitted_on,
    )
    return encoder.eval()


def _config_of(source: TextSource) -> Any:
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(str(source.folder), local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise WeightError(f"text encoder {source.name!r}: {error}") from None
    if config.is_encoder_decoder:
        raise WeightError(f"text encoder {source.name!r} is a {config.model_type} with a decoder, not an encoder alone")
    return config


def _random(config: Any) -> Any:
    from transformers import AutoModel

    return AutoModel.from_config(config, dtype=torch.float32, trust_remote_code=False)


def _pretrained(source: TextSource, config: Any, pooling: str, training: bool) -> Any:
    from safetensors import SafetensorError
    from transformers import AutoModel

    _ = source.weights_sha256  # says what is missing in plain words
    try:
        with quiet_transformers():
            model, about = AutoModel.from_pretrained(
                str(source.folder),
                config=config,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                dtype=torch.float32,
                output_loading_info=True,
            )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise WeightError(f"text encoder {source.name!r}: its weights cannot be read ({error})") from None
    missing = sorted(key for key in about["missing_keys"] if not key.startswith("pooler."))
    if missing:
        raise WeightError(f"text encoder {source.name!r}: no weights for {', '.join(missing[:3])} in {source.folder}")
    if about["missing_keys"] and pooling == "pooler" and not training:
        raise WeightError(
            f"text encoder {source.name!r} comes without weights for its pooler, so what that says is chance until it is "
            "fine-tuned: take pooling mean or cls"
        )
    return model


def _limit(source: TextSource, backbone: Any, own: int, asked: int) -> int:
    """Tokens of a text: what is asked, within what the positions and the tokenizer (`own`) allow."""
    positions = int(getattr(backbone.config, "max_position_embeddings", 0) or 0)
    for name, part in backbone.named_modules():
        # RoBERTa's positions begin behind that of padding
        if isinstance(part, nn.Embedding) and "position" in name and part.padding_idx is not None:
            positions = part.num_embeddings - part.padding_idx - 1
    most = min((n for n in (positions, own) if 0 < n < 1_000_000), default=512)
    if asked > most or 0 < asked < 4:
        raise ConfigError(f"max_tokens={asked}: {source.name} takes 4 to {most} tokens, 0 = as many as it was made for")
    return asked or min(most, source.max_tokens or most)
