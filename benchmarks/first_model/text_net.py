"""From a run of `text_encoder` on GoEmotions' 28 labels to the text layers that ship with merkit.

    merkit prepare goemotions --root GOEMOTIONS --out .work/goemotions
    merkit train text_encoder --preset minilm data.root=.work/goemotions freeze_layers=3 optim.lr=1e-4 \\
        trainer.batch_size=32 trainer.max_epochs=3 trainer.watch=macro_f1 --out .work/text-goemotions-3
    python -m benchmarks.first_model.text_net .work/text-goemotions-3
    python -m benchmarks.first_model.text

Layers that were frozen are those of the catalogue's MiniLM and are not shipped again. Of the others, matrices are shipped as
whole numbers of eight bits with a scale for each row, all else in half precision: all heads together stay under 10 MB.
"""

import argparse
import hashlib
import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from benchmarks.first_model.fit import SHIPPED
from merkit.atomic import replacing
from merkit.networks.minilm import LAYERS, bert_layers

_PREFIX = "encoder.backbone."


def rounded(layers: dict[str, Tensor]) -> dict[str, Tensor]:
    """Matrices as int8 with `NAME.scale`, the greatest number of each row over 127; vectors as float16."""
    made: dict[str, Tensor] = {}
    for name, value in layers.items():
        if value.ndim < 2:
            made[name] = value.half().contiguous()
            continue
        scale = (value.abs().amax(1, keepdim=True) / 127).float()
        made[name] = (value / scale).round().clamp(-127, 127).to(torch.int8).contiguous()
        made[f"{name}.scale"] = scale
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    run = parser.parse_args().run
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))["config"]
    if config["encoder"] != "minilm" or config["freeze_layers"] < 1:
        raise SystemExit(f"{run}: a run of MiniLM with frozen embeddings is wanted")
    state = load_file(run / "model.safetensors")
    theirs = {name.removeprefix(_PREFIX): value for name, value in state.items() if name.startswith(_PREFIX)}
    layers = bert_layers(theirs, range(config["freeze_layers"], LAYERS))
    data = save(rounded(layers))
    with replacing(SHIPPED / "text-net.safetensors") as temporary:
        temporary.write_bytes(data)
    with replacing(SHIPPED / "text-net.sha256") as temporary:
        temporary.write_text(f"{hashlib.sha256(data).hexdigest()}\n", encoding="utf-8")
    print(f"{len(data) / 1e6:.2f} MB: layers {config['freeze_layers'] + 1} to {LAYERS}")


if __name__ == "__main__":
    main()
