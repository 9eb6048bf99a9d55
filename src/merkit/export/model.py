"""An exported run as a Hugging Face model: `AutoModel.from_pretrained(DIR)` after `import merkit`.

The folder is merkit's own and not of transformers' making: weights keep the names that they have in a run, and a run of
several seeds has one folder for each (`seed-0`, …), so that `merkit predict` and `merkit evaluate` read it as well.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers.modeling_utils import PreTrainedModel
from transformers.utils.generic import ModelOutput

from merkit.errors import StoreError, WeightError
from merkit.export.config import MerkitConfig
from merkit.export.encoders import located, own_code
from merkit.export.tensors import batch_of
from merkit.schema import TargetSpec

__all__ = ["MerkitModel", "MerkitOutput", "answer_of", "weight_files"]

# What belongs to an exported model, and what is fetched of one on the hub; pictures and programs are not.
_FILES = ("*.json", "*.safetensors", "README.md", "seed-*/*", "encoders/*")
_HUB = ("revision", "token", "cache_dir", "force_download", "local_files_only")


@dataclass
class MerkitOutput(ModelOutput):
    """Answers to a batch.

    Args:
        logits: target -> `(B, K)`, or `(B, N, K)` where it is asked of persons: the network's own; of several networks those
            that belong to their mean answer.
        probs: target -> the same shape: calibrated probabilities, values of a regression; the mean over networks.
        embedding: `(B, E)`, what the heads see; of several networks, side by side.
        attention: name -> what was looked at, where the network has it.
    """

    logits: dict[str, Tensor] | None = None
    probs: dict[str, Tensor] | None = None
    embedding: Tensor | None = None
    attention: dict[str, Tensor] | None = None


class MerkitModel(PreTrainedModel):
    """The networks of a run behind one face of plain tensors.

    Args:
        config: of the export.
        networks: one a seed; None builds them with random weights.

    Example:
        >>> from merkit.systems.fusion import FusionConfig
        >>> target = {"name": "emotion", "kind": "single_label", "labels": ["joy", "anger"], "per_entity": False}
        >>> config = MerkitConfig(system="fusion", config=FusionConfig().to_dict(), modalities=["text"], widths={"text": 3},
        ...     targets=[target], temperature=[{"emotion": 2.0}])
        >>> model = MerkitModel(config).eval()
        >>> out = model(text=torch.ones(4, 5, 3))
        >>> out.logits["emotion"].shape, torch.equal(out.probs["emotion"], (out.logits["emotion"] / 2.0).softmax(-1))
        (torch.Size([4, 2]), True)
    """

    config: MerkitConfig
    config_class = MerkitConfig
    base_model_prefix = ""
    _supports_sdpa = True

    def __init__(self, config: MerkitConfig, networks: Sequence[nn.Module] | None = None) -> None:
        super().__init__(config)
        self.folder: Path | None = None
        self.networks = nn.ModuleList(networks if networks is not None else _built(config, None))
        self.post_init()

    def init_weights(self) -> None:
        """Nothing: networks start in their own way, or come with what they have learned."""

    def forward(self, context: Tensor | None = None, position: Tensor | None = None, **streams: Tensor) -> MerkitOutput:
        """Answers from named tensors (`merkit.export.tensors`): `model(text=…, text_mask=…, speech=…)`.

        Args:
            context: rows of the dialogue around each clip; None answers every row by itself.
            position: turns relative to the clip.
            streams: tokens, masks and times of the streams; one that is left out is absent.

        Raises:
            ConfigError: an input that the model does not have, or of another shape.
        """
        batch = batch_of(self.config, {**streams, "context": context, "position": position})
        networks: Any = self.networks
        said = [network.outputs(batch) for network in networks]
        logits, probs = answer_of([one.logits for one in said], self.config.specs, self.config.temperature)
        embedding = torch.cat([one.embedding for one in said], -1)
        return MerkitOutput(logits, probs, embedding, dict(said[0].attention) if len(said) == 1 else None)

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | Path, *_: Any, config: MerkitConfig | None = None, **kwargs: Any
    ) -> Any:
        """The exported model in a folder, or on the Hugging Face hub, in evaluation mode.

        Args:
            pretrained_model_name_or_path: a folder of `merkit export`, or OWNER/NAME.
            config: in place of the folder's own.
            kwargs: `dtype`, `device_map` (one device), `output_loading_info`, and how the hub is asked (`revision`, `token`,
                `cache_dir`, `local_files_only`); others mean nothing here.

        Raises:
            StoreError: there is no exported model, or its weights are not those of its config.
            WeightError: an encoder that it refers to is not on this machine.
        """
        folder = _local(pretrained_model_name_or_path, {key: kwargs[key] for key in _HUB if key in kwargs})
        config = config or MerkitConfig.from_pretrained(str(folder))
        model = cls(config, _built(config, folder))
        for network, file in zip(model.networks, weight_files(folder, config), strict=True):
            try:
                network.load_state_dict(load_file(file))
            except (OSError, SafetensorError, RuntimeError) as error:
                raise StoreError(f"{file}: not the weights of this model ({error})") from None
        model.folder = folder
        dtype, device = kwargs.get("dtype", kwargs.get("torch_dtype")), kwargs.get("device_map")
        if isinstance(dtype, torch.dtype):
            model = model.to(dtype)
        if isinstance(device, str | torch.device) and device != "auto":
            model = model.to(device)
        model = model.eval()
        if kwargs.get("output_loading_info"):
            return model, {"missing_keys": set(), "unexpected_keys": set(), "mismatched_keys": set(), "error_msgs": []}
        return model

    def save_pretrained(self, save_directory: str | Path, *_: Any, push_to_hub: bool = False, **kwargs: Any) -> None:
        """Writes weights and config, and with them whatever the folder had that the model came from: processor, card …

        Args:
            save_directory: made where it is not there.
            push_to_hub: upload it as well, to `repo_id` among the `kwargs`.
            kwargs: of `push_to_hub`; how transformers would write weights means nothing here.
        """
        target = Path(save_directory)
        target.mkdir(parents=True, exist_ok=True)
        if self.folder is not None and self.folder.resolve() != target.resolve():
            _copied(self.folder, target)
        self.config.architectures = [type(self).__name__]
        self.config.save_pretrained(str(target))
        for network, file in zip(self.networks, weight_files(target, self.config), strict=True):
            file.parent.mkdir(parents=True, exist_ok=True)
            state = {key: value.detach().cpu().clone().contiguous() for key, value in network.state_dict().items()}
            save_file(state, file, metadata={"format": "pt"})
        if push_to_hub:
            self.push_to_hub(kwargs.pop("repo_id", target.name), **kwargs)


def answer_of(
    said: Sequence[Mapping[str, Tensor]], specs: Sequence[TargetSpec], temperature: Sequence[Mapping[str, float]]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Logits and calibrated probabilities of what one or several networks say; see `MerkitOutput`.

    Example:
        >>> spec = TargetSpec("e", "single_label", ("a", "b"))
        >>> sure, unsure = torch.tensor([[4.0, 0.0]]), torch.zeros(1, 2)
        >>> logits, probs = answer_of([{"e": sure}, {"e": unsure}], [spec], [{"e": 2.0}, {}])
        >>> torch.allclose(probs["e"], ((sure / 2).softmax(-1) + 0.5) / 2), torch.allclose(logits["e"].softmax(-1), probs["e"])
        (True, True)
    """
    logits, probs = {}, {}
    for spec in specs:
        each = [one[spec.name] for one in said]
        calibrated = [
            _probability(logit, spec, own.get(spec.name, 1.0)) for logit, own in zip(each, temperature, strict=True)
        ]
        probs[spec.name] = calibrated[0] if len(each) == 1 else torch.stack(calibrated).mean(0)
        if len(each) == 1:
            logits[spec.name] = each[0]
        elif spec.kind == "regression":
            logits[spec.name] = probs[spec.name]
        elif spec.kind == "multi_label":
            logits[spec.name] = torch.logit(probs[spec.name], 1e-7)
        else:
            logits[spec.name] = probs[spec.name].clamp_min(1e-30).log()
    return logits, probs


def _probability(logit: Tensor, spec: TargetSpec, temperature: float) -> Tensor:
    if spec.kind == "regression":
        return logit
    scaled = logit / temperature
    return scaled.sigmoid() if spec.kind == "multi_label" else scaled.softmax(-1)


def weight_files(folder: Path, config: MerkitConfig) -> list[Path]:
    """Where the weights of each network lie."""
    if len(config.temperature) <= 1:
        return [folder / "model.safetensors"]
    return [folder / f"seed-{seed}" / "model.safetensors" for seed in config.seeds]


def _built(config: MerkitConfig, folder: Path | None) -> list[nn.Module]:
    from merkit.config import config_from
    from merkit.systems.system import find_system

    system = find_system(config.system)
    own = config_from(system.config, located(config, folder))
    if own_code(config.config):
        raise WeightError("this model has a fusion of somebody's own making: code that comes with a model is not run")
    # transformers may be about to build everything without memory; networks of merkit compute while they are built
    with torch.device("cpu"):
        return [
            system.build_model(own, {name: config.widths[name] for name in config.modalities}, config.specs)
            for _ in config.temperature or [{}]
        ]


def _local(name: str | Path, hub: Mapping[str, Any]) -> Path:
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(str(name), allow_patterns=list(_FILES), **hub))
    except (HFValidationError, LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise StoreError(
            f"{name}: neither a folder nor a model on the hub ({' '.join(str(error).split())[:200]})"
        ) from None


def _copied(source: Path, target: Path) -> None:
    for pattern in _FILES:
        for file in source.glob(pattern):
            to = target / file.relative_to(source)
            if file.is_dir():
                shutil.copytree(file, to, dirs_exist_ok=True)
            elif file.suffix != ".safetensors" or "encoders" in file.parts:
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, to)
