"""Weights of classes and labels, counted in the training part."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from merkit.data.table import TargetColumn
from merkit.errors import ConfigError
from merkit.schema import TargetSpec

__all__ = ["class_weights", "positive_weights"]


def class_weights(
    spec: TargetSpec, how: Literal["none", "balanced", "root"] | Sequence[float], column: TargetColumn | None
) -> Tensor | None:
    """`(K,)` float32, or None for equal weights.

    `balanced` is `n / (K n_c)`, as scikit-learn has it, `root` its square root: rare classes are heard without being shouted;
    distributions count as fractions of a row. A class that the training part does not have keeps weight 1.

    Raises:
        ConfigError: `balanced` or `root` without a training column, or the wrong number of weights.

    Example:
        >>> spec = TargetSpec("e", "single_label", ("a", "b"))
        >>> class_weights(spec, "balanced", TargetColumn(spec, np.array([0, 0, 0, 1]), np.ones(4, bool))).tolist()
        [0.6666666865348816, 2.0]
    """
    labels = len(spec.labels)
    if how == "none":
        return None
    if how not in ("balanced", "root"):
        return _given(spec, how, "class_weight")
    if column is None:
        raise ConfigError(f"target {spec.name}: {how} class weights are counted in a training column; none was given")
    if spec.kind == "single_label":
        count = np.bincount(column.value[column.valid], minlength=labels).astype(np.float64)
    else:
        count = column.value[column.valid.all(-1)].sum(0, dtype=np.float64)
    weight = np.where(count > 0, count.sum() / (labels * np.maximum(count, 1e-12)), 1.0)
    weight = np.sqrt(weight) if how == "root" else weight
    return torch.from_numpy(weight.astype(np.float32))


def positive_weights(
    spec: TargetSpec, how: Literal["none", "auto"] | Sequence[float], column: TargetColumn | None
) -> Tensor | None:
    """`(K,)` float32, or None: what a label that is on weighs against one that is off.

    `auto` is `n_off / n_on` among known entries of each label; a label that is never on keeps weight 1.

    Raises:
        ConfigError: `auto` without a training column, or the wrong number of weights.

    Example:
        >>> spec = TargetSpec("e", "multi_label", ("a", "b"))
        >>> value = np.array([[1, 0], [0, 0], [0, 0], [0, 0]], np.float32)
        >>> positive_weights(spec, "auto", TargetColumn(spec, value, np.ones((4, 2), bool))).tolist()
        [3.0, 1.0]
    """
    if how == "none":
        return None
    if how != "auto":
        return _given(spec, how, "pos_weight")
    if column is None:
        raise ConfigError(f"target {spec.name}: pos_weight=auto is counted in a training column; none was given")
    value = column.value.reshape(-1, len(spec.labels)).astype(np.float64)
    known = column.valid.reshape(value.shape)
    on, seen = np.where(known, value, 0.0).sum(0), known.sum(0)
    weight = np.where((on > 0) & (on < seen), (seen - on) / np.maximum(on, 1e-12), 1.0)
    return torch.from_numpy(weight.astype(np.float32))


def _given(spec: TargetSpec, weights: str | Sequence[float], field: str) -> Tensor:
    if isinstance(weights, str):
        raise ConfigError(f"target {spec.name}: {field}={weights!r} is not understood")
    if len(weights) != len(spec.labels) or min(weights) < 0:
        raise ConfigError(f"target {spec.name}: {field} needs {len(spec.labels)} numbers that are not negative")
    return torch.tensor(list(weights), dtype=torch.float32)
