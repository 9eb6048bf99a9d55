"""The fusion families by name, and how one is built from a name or from a class of your own."""

import inspect
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

from merkit.errors import ConfigError
from merkit.models.fusion.concat import ConcatFusion
from merkit.models.fusion.contract import Fusion
from merkit.models.fusion.cross_attention import CrossAttentionFusion
from merkit.models.fusion.cross_modal import CrossModalFusion
from merkit.models.fusion.label_query import LabelQueryFusion
from merkit.models.fusion.modality_attention import ModalityAttentionFusion
from merkit.models.fusion.tensor import TensorFusion

__all__ = ["FUSIONS", "build_fusion"]

FUSIONS: dict[str, Callable[..., Fusion]] = {
    "concat": ConcatFusion,
    "modality_attention": ModalityAttentionFusion,
    "tensor": TensorFusion,
    "cross_modal": CrossModalFusion,
    "cross_attention": CrossAttentionFusion,
    "label_query": LabelQueryFusion,
}


def build_fusion(
    fusion: str | Callable[..., Fusion],
    widths: Mapping[str, int],
    *,
    width: int,
    labels: int,
    dropout: float,
    pooling: str | Mapping[str, str],
    params: Mapping[str, Any],
) -> Fusion:
    """A fusion over `widths`.

    Args:
        fusion: a name in `FUSIONS`, or a class or function that is called as `Fusion` describes.
        widths: modality -> `D_m`.
        width: size to work in.
        labels: number of labels over all targets.
        dropout: in training.
        pooling: given to families whose constructor has such a parameter; modality -> name where they take that.
        params: the family's own parameters.

    Raises:
        ConfigError: no family of this name, or it has no such parameter.

    Example:
        >>> build_fusion("concat", {"text": 4}, width=8, labels=3, dropout=0.0, pooling="max", params={}).width
        4
    """
    if isinstance(fusion, str):
        if fusion not in FUSIONS:
            raise ConfigError(f"no fusion {fusion!r}; there are {', '.join(FUSIONS)}")
        fusion = FUSIONS[fusion]
    given = {"width": width, "labels": labels, "dropout": dropout, **params}
    parameters = inspect.signature(fusion).parameters
    if "pooling" in parameters:
        given.setdefault("pooling", pooling)
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        for key in given:
            if key not in parameters:
                near = get_close_matches(key, parameters, 1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise ConfigError(f"fusion {getattr(fusion, '__name__', fusion)} has no parameter {key!r}{hint}")
    return fusion(widths, **given)
