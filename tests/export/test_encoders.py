"""Encoders that travel with an export: each its own, whatever their folders are called."""

from pathlib import Path

from tiny_encoders import write_encoder
from tiny_sights_and_sounds import write_image_encoder
from torch import nn

from merkit.export.config import MerkitConfig
from merkit.export.encoders import carried, encoders_in, located
from merkit.networks.image_encoder import load_image_encoder
from merkit.networks.text_pretrained import load_text_encoder


def test_encoders_whose_folders_have_one_name_are_kept_apart(tmp_path: Path) -> None:
    places = {name: tmp_path / name / "tiny" for name in ("text", "scene", "face")}
    write_encoder(places["text"], "bert", positions=24)
    write_image_encoder(places["scene"], "resnet")
    write_image_encoder(places["face"], "vit")
    model = nn.ModuleList(
        [load_text_encoder(str(places["text"])), *(load_image_encoder(str(places[name])) for name in ("scene", "face"))]
    )
    config = {name: {"encoder": str(place)} for name, place in places.items()}
    encoders = encoders_in(model, config)
    assert {(each["kind"], *each["keys"]) for each in encoders} == {
        ("text", "text.encoder"), ("picture", "scene.encoder"), ("picture", "face.encoder")
    }  # fmt: skip
    carried(encoders, config, tmp_path / "out", bundle=True)
    found = located(MerkitConfig(config=config, encoders=encoders), tmp_path / "out")
    for name, place in places.items():
        for file in ("config.json", "model.safetensors"):
            assert (Path(found[name]["encoder"]) / file).read_bytes() == (place / file).read_bytes(), (name, file)
