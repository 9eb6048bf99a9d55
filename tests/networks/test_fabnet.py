"""FAb-Net against its published layout written out by hand, and its checkpoints in every form they come in."""

import argparse
import os
import sys
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from merkit.errors import WeightError
from merkit.features.frames import FrameTokens
from merkit.features.pictures_by_name import FabNetExtractor
from merkit.media import VideoChunk
from merkit.networks import fabnet
from merkit.networks.fabnet import FabNet, convert_fabnet, is_fabnet, load_fabnet


def published(seed: int = 0) -> nn.Sequential:
    """The encoder as its authors lay it out, layer by layer, with weights and statistics by chance."""
    torch.manual_seed(seed)
    act = nn.LeakyReLU(0.2, inplace=True)
    net = nn.Sequential(
        nn.Conv2d(3, 32, 4, 2, 1), act,
        nn.Conv2d(32, 64, 4, 2, 1), nn.BatchNorm2d(64), act,
        nn.Conv2d(64, 128, 4, 2, 1), nn.BatchNorm2d(128), act,
        nn.Conv2d(128, 256, 4, 2, 1), nn.BatchNorm2d(256), act,
        nn.Conv2d(256, 256, 4, 2, 1), nn.BatchNorm2d(256), act,
        nn.Conv2d(256, 256, 4, 2, 1), nn.BatchNorm2d(256), act,
        nn.Conv2d(256, 256, 4, 2, 1), nn.BatchNorm2d(256), act,
        nn.Conv2d(256, 256, 4, 2, 1),
    )  # fmt: skip
    for part in net:
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.01, 0.1)
            part.weight.data.uniform_(0.5, 1.5)
            part.bias.data.normal_()
    return net.eval()


def network(prefix: str = "") -> OrderedDict:
    """Encoder and, beside it, parts that only made films."""
    state = OrderedDict((f"{prefix}encoder.{key}", value) for key, value in published().state_dict().items())
    state[f"{prefix}decoder.2.weight"] = torch.zeros(256, 512, 3, 3)
    state[f"{prefix}mask.2.weight"] = torch.zeros(256, 512, 3, 3)
    return state


TOP = {"0.weight": torch.ones(256), "1.weight": torch.zeros(8, 256)}
FORMS = {
    "with a layer on top": {"state_dict_model": network(), "state_dict": TOP},
    "as training left it": {
        "state_dict": network(),
        "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]},
        "epoch": 3,
        "lr": 0.1,
        "opts": argparse.Namespace(lr=0.1, run_dir="x"),
    },
    "bare, of several devices": network("module."),
    "from before batches were counted": {
        "state_dict": {key: value for key, value in network().items() if "num_batches" not in key}
    },
}


@pytest.fixture(scope="module")
def crops() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, 256, 256, 3), dtype=np.uint8)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_a_converted_checkpoint_answers_as_the_published_layout(tmp_path, crops, form: str, legacy: bool) -> None:
    torch.save(FORMS[form], tmp_path / "a.pth", _use_new_zipfile_serialization=not legacy)
    net = load_fabnet(convert_fabnet(tmp_path / "a.pth", tmp_path / "fabnet"))
    faces = torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        expected = published()(faces)[:, :, 0, 0]
        np.testing.assert_allclose(net(faces), expected, atol=1e-4 * float(expected.abs().max()))
    assert not net.training and not any(value.requires_grad for value in net.parameters())


def test_tokens_do_not_depend_on_company_and_crops_of_256_are_not_resized(tmp_path, crops) -> None:
    torch.save(FORMS["with a layer on top"], tmp_path / "a.pth")
    extractor = FabNetExtractor(str(convert_fabnet(tmp_path / "a.pth", tmp_path / "fabnet")))
    found = extractor(crops)
    with torch.no_grad():
        expected = published()(torch.from_numpy(crops[1:2]).permute(0, 3, 1, 2).float() / 255).flatten(1)
    np.testing.assert_allclose(found[1:2], expected, atol=1e-4 * float(expected.abs().max()))
    np.testing.assert_allclose(found[1:2], extractor(crops[1:2]), atol=1e-5 * np.abs(found).max())
    assert extractor(crops[:0]).shape == (0, 256)
    other = FabNetExtractor(str(convert_fabnet(tmp_path / "a.pth", tmp_path / "elsewhere")))
    assert extractor.id == other.id and extractor.id.startswith("fab-net@")


def test_crops_of_other_sizes_are_resized_as_pillow_does(crops) -> None:
    from PIL import Image

    for size in (96, 512):
        crop = np.asarray(Image.fromarray(crops[0]).resize((size, size), Image.Resampling.BICUBIC))
        expected = np.asarray(Image.fromarray(crop).resize((256, 256), Image.Resampling.BILINEAR), np.float32) / 255
        found = FabNet.prepare(crop[None])[0].permute(1, 2, 0).numpy()
        assert np.abs(found - expected).max() < 2 / 255
        assert found.min() >= 0 and found.max() <= 1


def test_faces_are_cut_from_the_frame_as_large_as_the_network_sees_them(tmp_path, crops) -> None:
    from merkit.perception.crops import crop_faces

    torch.save(FORMS["with a layer on top"], tmp_path / "a.pth")
    extractor = FabNetExtractor(str(convert_fabnet(tmp_path / "a.pth", tmp_path / "fabnet")))
    pictures = np.random.default_rng(1).integers(0, 256, (4, 300, 400, 3), dtype=np.uint8)
    follower = OneFaceInTwo(crops[:, ::2, ::2])  # smaller crops than FAb-Net takes
    frames = FrameTokens(2.0, follower, extractor)
    frames.see(VideoChunk(pictures, np.arange(4) / 2))
    tokens: dict = {}
    frames.finish(tokens, 2.0)
    cut = [crop_faces(pictures[2 * i], follower.boxes[i : i + 1], size=256)[0] for i in range(2)]
    assert cut[0].shape == (256, 256, 3)
    np.testing.assert_allclose(tokens["face", "person_1"].x, extractor(np.stack(cut)), atol=1e-3)


def test_frames_without_a_face_have_no_token(tmp_path, crops) -> None:
    torch.save(FORMS["with a layer on top"], tmp_path / "a.pth")
    extractor = FabNetExtractor(str(convert_fabnet(tmp_path / "a.pth", tmp_path / "fabnet")))
    seen = []

    class Counted:
        def __getattr__(self, name):
            return getattr(extractor, name)

        def __call__(self, inputs):
            seen.append(len(inputs))
            return extractor(inputs)

    frames = FrameTokens(2.0, OneFaceInTwo(crops), Counted())
    frames.see(VideoChunk(np.zeros((4, 8, 8, 3), np.uint8), np.arange(4) / 2))
    tokens: dict = {}
    frames.finish(tokens, 2.0)
    assert seen == [2]
    np.testing.assert_array_equal(tokens["face", "person_1"].start_s, [0.0, 1.0])
    np.testing.assert_allclose(tokens["face", "person_1"].x, extractor(crops[:2]), atol=1e-4)


class OneFaceInTwo:
    """A follower that finds a face in every other frame."""

    def __init__(self, crops: np.ndarray) -> None:
        self.crops = crops

    boxes = np.array([[20.0, 30, 250, 260], [100.0, 10, 390, 290]], np.float32)

    def update(self, frames: np.ndarray, times_s: np.ndarray):
        class Faces:
            track, crops, boxes = np.zeros(2, int), self.crops[:2], self.boxes

            def __len__(self) -> int:
                return 2

        Faces.times_s = times_s[::2]
        return Faces()

    def finish(self):
        class Found:
            persons, person_of, shots_s = (argparse.Namespace(id="person_1"),), {0: "person_1"}, ()

        return Found()


def test_nothing_is_run_and_nothing_else_is_taken(tmp_path) -> None:
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "was here"),)

    torch.save({"state_dict_model": network(), "opts": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(WeightError, match="not a checkpoint of tensors"):
        convert_fabnet(tmp_path / "evil.pth", tmp_path / "out")
    torch.save({"state_dict": TOP}, tmp_path / "top.pth")
    with pytest.raises(WeightError, match="no encoder of FAb-Net in it"):
        convert_fabnet(tmp_path / "top.pth", tmp_path / "out")
    torch.save({"state_dict": network() | {"encoder.0.weight": torch.zeros(16, 3, 4, 4)}}, tmp_path / "small.pth")
    with pytest.raises(WeightError, match="does not fit FabNet"):
        convert_fabnet(tmp_path / "small.pth", tmp_path / "out")
    with pytest.raises(WeightError, match=r"no\.pth"):
        convert_fabnet(tmp_path / "no.pth", tmp_path / "out")
    assert not (tmp_path / "was here").exists() and not is_fabnet(tmp_path / "out")


def test_damaged_weights_are_named(tmp_path) -> None:
    torch.save({"state_dict": network()}, tmp_path / "a.pth")
    folder = convert_fabnet(tmp_path / "a.pth", tmp_path / "fabnet")
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(WeightError, match=r"model\.safetensors: not readable"):
        load_fabnet(folder)


def test_it_is_converted_from_the_command_line(tmp_path, monkeypatch, capsys) -> None:
    torch.save({"state_dict": network()}, tmp_path / "a.pth")
    monkeypatch.setattr(sys, "argv", ["fabnet", str(tmp_path / "a.pth"), str(tmp_path / "out")])
    assert fabnet._main() == 0
    assert "--encoder face=" in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["config.json", "model.safetensors"]
    monkeypatch.setattr(sys, "argv", ["fabnet", str(tmp_path / "b.pth"), str(tmp_path / "c")])
    assert fabnet._main() == 1
    assert "b.pth" in capsys.readouterr().err
