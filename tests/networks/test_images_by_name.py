"""Image encoders by name: against transformers and Pillow, one picture at a time."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_sights_and_sounds import PICTURES, write_image_encoder, write_speech_encoder

from merkit.errors import ConfigError, WeightError
from merkit.networks.image_encoder import load_image_encoder

AUTO = {"vit": "cls", "dinov2": "cls", "resnet": "pooled", "convnext": "pooled", "clip": "pooled"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("pictures")
    return {kind: write_image_encoder(root / kind, kind) for kind in PICTURES}


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (10, 40, 60, 3), dtype=np.uint8)


def pixels(kind: str, frame: np.ndarray) -> torch.Tensor:
    """What the checkpoint's preprocessing comes to, by Pillow and hand."""
    picture, mean, std = Image.fromarray(frame), [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    if kind == "vit":
        picture, mean, std = picture.resize((32, 32), Image.Resampling.BILINEAR), [0.4, 0.5, 0.6], [0.2, 0.3, 0.4]
    elif kind in ("resnet", "convnext"):
        # ConvNeXt's processor below 384 pixels: a larger square by its share, then the middle of it
        side = {"resnet": 28, "convnext": 32}[kind]
        edge = int(side / 0.875)
        picture = middle(picture.resize((edge * 60 // 40, edge), Image.Resampling.BICUBIC), side)
        mean = std = [0.5, 0.5, 0.5]
    else:
        edge = 36 if kind == "dinov2" else 32
        picture = middle(picture.resize((edge * 60 // 40, edge), Image.Resampling.BICUBIC), 32)
        mean, std = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
    x = (np.asarray(picture, np.float32) / 255 - np.array(mean, np.float32)) / np.array(std, np.float32)
    return torch.from_numpy(x).permute(2, 0, 1)[None]


def middle(picture: Image.Image, side: int) -> Image.Image:
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    return picture.crop((left, top, left + side, top + side))


def reference(folder: Path, kind: str, frame: np.ndarray, pooling: str) -> np.ndarray:
    from transformers import AutoModel

    model = AutoModel.from_pretrained(folder).eval()
    model = model.vision_model if kind == "clip" else model
    with torch.no_grad():
        out = model(pixel_values=pixels(kind, frame))
    states = out.last_hidden_state
    if pooling == "pooled":
        return out.pooler_output.flatten().numpy()
    if pooling == "cls":
        return states[0, 0].numpy()
    # 32 pixels in patches of 8 are 16, behind everything that is no patch
    return (states[0].mean((1, 2)) if states.ndim == 4 else states[0, -16:].mean(0)).numpy()


@pytest.mark.parametrize("pooling", ["auto", "cls", "mean", "pooled"])
@pytest.mark.parametrize("kind", PICTURES)
def test_vectors_are_those_of_transformers_picture_by_picture(folders, frames, kind: str, pooling: str) -> None:
    if pooling == "cls" and kind in ("resnet", "convnext"):
        with pytest.raises(ConfigError, match="has no class token"):
            load_image_encoder(str(folders[kind]), pooling=pooling)
        return
    encoder = load_image_encoder(str(folders[kind]), pooling=pooling)
    assert encoder.pooling == (AUTO[kind] if pooling == "auto" else pooling)
    found = encoder.encode(frames)
    assert found.shape == (10, encoder.width) and found.dtype == np.float32
    for row in (0, 9):
        expected = reference(folders[kind], kind, frames[row], encoder.pooling)
        np.testing.assert_allclose(found[row], expected, atol=1e-4 * max(1, np.abs(expected).max()))
    np.testing.assert_allclose(encoder.encode(frames[9:])[0], found[9], atol=1e-5 * max(1, np.abs(found).max()))
    assert np.abs(found[0] - found[9]).max() > 1e-3


def test_no_picture_is_no_row(folders, frames) -> None:
    assert load_image_encoder(str(folders["vit"])).encode(frames[:0]).shape == (0, 16)


def test_a_pooler_by_chance_is_refused(tmp_path) -> None:
    folder = write_image_encoder(tmp_path / "vit", pooler=False)
    with pytest.raises(ConfigError, match="comes without weights for it"):
        load_image_encoder(str(folder), pooling="pooled")
    assert load_image_encoder(str(folder)).pooling == "cls"


def test_torchvision_is_not_needed(folders, frames, monkeypatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "torchvision", None)
    encoder = load_image_encoder(str(folders["convnext"]))
    assert "Pil" in type(encoder.processor).__name__
    assert np.isfinite(encoder.encode(frames[:1])).all()


def test_what_cannot_be_used_is_refused_in_plain_words(folders, tmp_path) -> None:
    with pytest.raises(WeightError, match="image encoder 'nobody/nothing' is not on this machine"):
        load_image_encoder("nobody/nothing")
    folder = tmp_path / "blind"
    shutil.copytree(folders["vit"], folder)
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(WeightError, match=r"no preprocessor_config\.json"):
        load_image_encoder(str(folder))
    (folder / "preprocessor_config.json").write_text("{")
    with pytest.raises(WeightError, match="is not JSON"):
        load_image_encoder(str(folder))
    deaf = write_speech_encoder(tmp_path / "deaf")
    with pytest.raises(WeightError, match="image encoder 'deaf'"):
        load_image_encoder(str(deaf))
