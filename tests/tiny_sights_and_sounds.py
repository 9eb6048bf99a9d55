"""Encoders of speech and pictures of a few thousand random weights, as `save_pretrained` writes them."""

from pathlib import Path

import torch

SPEECH = ("wav2vec2", "hubert", "wavlm", "data2vec-audio")
PICTURES = ("vit", "dinov2", "resnet", "convnext", "clip")
# 20 samples a step, 40 a token: short enough to try every sample
CONV = {"conv_dim": (16, 16, 16), "conv_kernel": (10, 3, 3), "conv_stride": (5, 2, 2)}


def write_speech_encoder(
    folder: Path, kind: str = "wav2vec2", *, norm: str = "group", stable: bool = False, normalise: bool = True, **size
) -> Path:
    """A folder with `config.json`, `model.safetensors` and `preprocessor_config.json` of a tiny speech encoder."""
    import transformers as t

    size = {
        "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24,
        "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2, "initializer_range": 0.3, **CONV, **size,
    }  # fmt: skip
    if kind == "data2vec-audio":
        config, model = t.Data2VecAudioConfig(**size, conv_pos_kernel_size=7), t.Data2VecAudioModel
    else:
        name = {"wav2vec2": "Wav2Vec2", "hubert": "Hubert", "wavlm": "WavLM"}[kind]
        config = getattr(t, f"{name}Config")(**size, feat_extract_norm=norm, do_stable_layer_norm=stable)
        model = getattr(t, f"{name}Model")
    _saved(model, config, folder)
    t.Wav2Vec2FeatureExtractor(do_normalize=normalise).save_pretrained(folder)
    return folder


def write_image_encoder(folder: Path, kind: str = "vit", *, pooler: bool = True) -> Path:
    """The same for pictures of 32 pixels."""
    import transformers as t
    from transformers.models.bit.image_processing_pil_bit import BitImageProcessorPil
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
    from transformers.models.convnext.image_processing_pil_convnext import ConvNextImageProcessorPil
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    size = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32, "patch_size": 8,
            "initializer_range": 0.2}  # fmt: skip
    crop = {"height": 32, "width": 32}
    if kind == "vit":
        _saved(t.ViTModel, t.ViTConfig(**size, intermediate_size=32), folder, add_pooling_layer=pooler)
        ViTImageProcessorPil(size=crop, image_mean=[0.4, 0.5, 0.6], image_std=[0.2, 0.3, 0.4]).save_pretrained(folder)
    elif kind == "dinov2":
        _saved(t.Dinov2WithRegistersModel, t.Dinov2WithRegistersConfig(**size), folder)
        BitImageProcessorPil(size={"shortest_edge": 36}, crop_size=crop).save_pretrained(folder)
    elif kind == "resnet":
        _saved(t.ResNetModel, t.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1]), folder)
        ConvNextImageProcessorPil(size={"shortest_edge": 28}).save_pretrained(folder)
    elif kind == "convnext":
        _saved(t.ConvNextModel, t.ConvNextConfig(hidden_sizes=[8, 8, 8, 16], depths=[1, 1, 1, 1]), folder)
        ConvNextImageProcessorPil(size={"shortest_edge": 32}).save_pretrained(folder)
    else:
        words = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 50}
        _saved(t.CLIPModel, t.CLIPConfig(vision_config={**size, "intermediate_size": 32}, text_config=words), folder)
        CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=crop).save_pretrained(folder)
    return folder


def _saved(model, config, folder: Path, **options) -> None:
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.manual_seed(0)
    model(config, **options).eval().save_pretrained(folder)
