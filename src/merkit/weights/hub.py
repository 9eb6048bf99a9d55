"""Catalogue entries on the Hugging Face hub, for machines that reach it; never contacted unless asked for by name.

No sha256 of these files is known here: the revision (a git commit) pins them, and the first fetch writes down the
hashes that later loads are held to.
"""

from merkit.weights.entry import WeightEntry, WeightFile

__all__ = ["HUB_ENTRIES"]

_PINNED_BY = "No sha256 is on record: the revision pins the files, and the first fetch notes the hashes for later."


def _files(*names: str) -> tuple[WeightFile, ...]:
    return tuple(WeightFile(name) for name in names)


HUB_ENTRIES = (
    WeightEntry(
        name="wav2vec2-base",
        role="speech features (hub)",
        kind="hub",
        source="facebook/wav2vec2-base@0b5b8e868dd84f03fd87d01f9c4ff0f080fecfe8",
        files=_files("config.json", "preprocessor_config.json", "pytorch_model.bin"),
        licence_code="Apache-2.0",
        licence_weights="Apache-2.0",
        permissive=True,
        non_commercial=False,
        caution=_PINNED_BY,
        input="16 kHz mono, zero mean and unit variance per clip",
        output="768-d states, one per 0.02 s",
        reference="Baevski et al. 2020, wav2vec 2.0, arXiv:2006.11477",
    ),
    WeightEntry(
        name="wavlm-base-plus",
        role="speech features (hub)",
        kind="hub",
        source="microsoft/wavlm-base-plus@4c66d4806a428f2e922ccfa1a962776e232d487b",
        files=_files("config.json", "preprocessor_config.json", "pytorch_model.bin"),
        licence_code="MIT",
        licence_weights="CC-BY-SA-3.0",
        permissive=False,
        non_commercial=False,
        caution=f"The project's page states CC-BY-SA for the released models; copies elsewhere say MIT. {_PINNED_BY}",
        input="16 kHz mono",
        output="768-d states, one per 0.02 s",
        reference="Chen et al. 2021, WavLM, arXiv:2110.13900",
    ),
    WeightEntry(
        name="roberta-base",
        role="text features (hub)",
        kind="hub",
        source="FacebookAI/roberta-base@e2da8e2f811d1448a5b465c236feacd80ffbac7b",
        files=_files(
            "config.json", "tokenizer_config.json", "tokenizer.json", "vocab.json", "merges.txt", "model.safetensors"
        ),
        licence_code="MIT",
        licence_weights="MIT",
        permissive=True,
        non_commercial=False,
        caution=_PINNED_BY,
        input="up to 512 byte-pair tokens",
        output="768-d token states",
        reference="Liu et al. 2019, RoBERTa, arXiv:1907.11692",
    ),
    WeightEntry(
        name="resnet-50",
        role="image features (hub)",
        kind="hub",
        source="microsoft/resnet-50@34c2154c194f829b11125337b98c8f5f9965ff19",
        files=_files("config.json", "preprocessor_config.json", "model.safetensors"),
        licence_code="Apache-2.0",
        licence_weights="Apache-2.0",
        permissive=True,
        non_commercial=False,
        caution=f"Trained on ImageNet, which is offered for research. {_PINNED_BY}",
        input="RGB 224 px, ImageNet mean and deviation",
        output="2048-d feature; 1000 logits",
        reference="He et al. 2015, arXiv:1512.03385",
    ),
)
