"""What every system offers, and the table of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from torch import nn

from merkit.data.table import ClipTable
from merkit.data.token_sampling import Sampling
from merkit.errors import ConfigError
from merkit.schema import TargetSpec
from merkit.systems import emotx, fusion, hlm12erc, merc2020, sse_ft, tensor_mixer, text_encoder
from merkit.systems.data import load_table
from merkit.training.fit import Plan

__all__ = ["SYSTEMS", "System", "find_system"]


class _Load(Protocol):
    def __call__(self, config: Any, *, root: Path | None = None, split: str | None = None) -> ClipTable: ...


def _load_data(config: Any, *, root: Path | None = None, split: str | None = None) -> ClipTable:
    return load_table(config.data, root=root, split=split)


def _all_tokens(config: Any, table: ClipTable) -> Sampling | None:
    return None


def _as_said(config: Any, modalities: Sequence[str]) -> tuple[int, int]:
    return config.data.earlier, config.data.later


@dataclass(frozen=True, slots=True)
class System:
    """One recipe.

    Args:
        name: on the command line.
        config: its config type, with `data`, `optim` and `trainer` within.
        plan: `(config, table of train and valid) -> Plan`.
        build_model: `(config, {modality: width}, specs) -> model`, to load saved weights into.
        presets: named starting points.
        load: `(config, root, split) -> table`.
        sampling: `(config, table) -> Sampling`: which tokens a model sees, in training and in every evaluation; None = all.
        context: `(config, modalities) -> (earlier, later)`: turns around a clip that a model reads, in training and in every
            evaluation.
    """

    name: str
    config: type[Any]
    plan: Callable[[Any, ClipTable], Plan]
    build_model: Callable[[Any, dict[str, int], tuple[TargetSpec, ...]], nn.Module]
    presets: Mapping[str, Callable[[], Any]] = field(default_factory=dict)
    load: _Load = _load_data
    sampling: Callable[[Any, ClipTable], Sampling | None] = _all_tokens
    context: Callable[[Any, Sequence[str]], tuple[int, int]] = _as_said

    def preset(self, name: str) -> Any:
        """The config of that name.

        Raises:
            ConfigError: there is none.

        Example:
            >>> find_system("hlm12erc").preset("text").text.encoder
            'minilm'
        """
        if name not in self.presets:
            raise ConfigError(f"{self.name} has no preset {name!r}; there are {', '.join(self.presets) or 'none'}")
        return self.presets[name]()


SYSTEMS: dict[str, System] = {
    "fusion": System("fusion", fusion.FusionConfig, fusion.plan, fusion.build_model),
    "text_encoder": System(
        "text_encoder",
        text_encoder.TextEncoderConfig,
        text_encoder.plan,
        text_encoder.build_model,
        presets={"emotx": text_encoder.emotx, "minilm": text_encoder.minilm},
        load=text_encoder.load,
    ),
    "sse_ft": System("sse_ft", sse_ft.SSEFTConfig, sse_ft.plan, sse_ft.build_model, sse_ft.PRESETS, sse_ft.load),
    "emotx": System(
        "emotx", emotx.EmoTxConfig, emotx.plan, emotx.build_model, emotx.PRESETS, emotx.load, emotx.sampling
    ),
    "merc2020": System(
        "merc2020",
        merc2020.MERC2020Config,
        merc2020.plan,
        merc2020.build_model,
        merc2020.PRESETS,
        merc2020.load,
        merc2020.sampling,
    ),
    "tensor_mixer": System(
        "tensor_mixer",
        tensor_mixer.TensorMixerConfig,
        tensor_mixer.plan,
        tensor_mixer.build_model,
        tensor_mixer.PRESETS,
        tensor_mixer.load,
        tensor_mixer.sampling,
    ),
    "hlm12erc": System(
        "hlm12erc",
        hlm12erc.HLM12ERCConfig,
        hlm12erc.plan,
        hlm12erc.build_model,
        hlm12erc.PRESETS,
        hlm12erc.load,
        hlm12erc.sampling,
        hlm12erc.context,
    ),
}


def find_system(name: str) -> System:
    """The system of that name.

    Raises:
        ConfigError: there is none.

    Example:
        >>> find_system("fusion").config.__name__
        'FusionConfig'
    """
    if name not in SYSTEMS:
        raise ConfigError(f"no system {name!r}; there are {', '.join(SYSTEMS)}")
    return SYSTEMS[name]
