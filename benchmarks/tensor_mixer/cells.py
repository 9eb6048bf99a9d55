"""Which cells the studies of the tensor mixer have: name -> changes on the study's config."""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmarks.first_model.packs import root

__all__ = ["FUSIONS", "STUDIES", "Study"]

# the families as published (no appended ones in the mixer's product), and with the other choice of ones
FUSIONS: Mapping[str, tuple[str, ...]] = {
    "concat": ("fusion=concat",),
    "tensor": ("fusion=tensor",),
    "tensor-without-ones": ("fusion=tensor", "ones=none"),
    "tensor_mixer": ("fusion=tensor_mixer",),
    "tensor_mixer-with-ones": ("fusion=tensor_mixer", "ones=append"),
    "low_rank": ("fusion=low_rank",),
    "cross_attention": ("fusion=cross_attention",),
}
MODES = ("hard", "soft", "peakl")


@dataclass(frozen=True, slots=True)
class Study:
    """A grid.

    Args:
        config: a file beside this one, without its ending.
        cells: name -> changes; the part of a name behind the last `_` is the fold, where there are folds.
        folds: of each cell.
    """

    config: str
    cells: Callable[[], dict[str, tuple[str, ...]]]
    folds: tuple[str, ...] = ()


def _crema() -> dict[str, tuple[str, ...]]:
    return {
        f"{mode}+{fusion}_{fold}": (f"labels.mode={mode}", *FUSIONS[fusion], f"data.split.fold={fold}")
        for fusion, fold, mode in itertools.product(("concat",), range(5), MODES)
    }


def _ravdess() -> dict[str, tuple[str, ...]]:
    scales = {"plain": ("data.own_scale=[]",), "own": ("data.own_scale=[speech]",)}
    families = ("concat", "tensor", "low_rank", "cross_attention", "tensor_mixer")
    both, alone = ("data.modalities=[speech,text]",), ("data.modalities=[speech]", "data.text_encoder=")
    seen = {**dict.fromkeys(families, both), "speech-alone": alone}
    return {
        f"{scale}+{name}_{fold}": (
            *scales[scale],
            *FUSIONS.get(name, FUSIONS["concat"]),
            *streams,
            f"data.split.out={fold}",
        )
        for fold, scale, (name, streams) in itertools.product(range(1, 5), scales, seen.items())
    }


_MERC_FAMILIES = tuple(name for name in FUSIONS if name != "cross_attention")


def _merc() -> dict[str, tuple[str, ...]]:
    seen = {"two-way": "data.modalities=[text,speech]", "three-way": "data.modalities=[text,speech,face]"}
    return {
        f"{way}+{name}": (*FUSIONS[name], modalities, f"data.root={root() / 'merc2020_val_bn'}")
        for name, (way, modalities) in itertools.product(_MERC_FAMILIES, seen.items())
    }


STUDIES: Mapping[str, Study] = {
    "crema_votes": Study("crema_votes", _crema, tuple("01234")),
    "ravdess": Study("ravdess", _ravdess, tuple("1234")),
    "merc2020": Study("merc2020", _merc),
}
