"""What a model with label queries looks at, collected over batches.

The model answers `model.outputs(batch).attention`, a mapping from `TARGET.STREAM` to the attention of that target's label
queries to the stream's tokens: `(B, K, N, T)` for targets of the clip, `(B, Q, K, N, T)` for targets per entity, 0 where
there is no token. It is aligned with `batch.tokens[STREAM].mask (B, N, T)` and `.times`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit

from merkit.errors import ConfigError
from merkit.evaluation.expressiveness import attention_sums

if TYPE_CHECKING:
    from merkit.schema import TargetSpec

__all__ = ["PICTURE_AND_DIALOG", "SceneAttention", "collect_attention"]

PICTURE_AND_DIALOG = ("scene", "text")


@dataclass(frozen=True, slots=True, eq=False)
class SceneAttention:
    """Everything about one scene that its time-lines need.

    Args:
        id: of the clip.
        attention: `TARGET.STREAM` -> `(K, N, T)`, or `(Q, K, N, T)` per entity.
        mask: stream -> `(N, T)` bool.
        times: stream -> `(N, T)` seconds.
        prob: target -> `(K,)` or `(Q, K)`.
    """

    id: str
    attention: Mapping[str, np.ndarray]
    mask: Mapping[str, np.ndarray]
    times: Mapping[str, np.ndarray]
    prob: Mapping[str, np.ndarray]


def collect_attention(
    model: Any,
    batches: Any,
    target: "TargetSpec",
    keep: str | None = None,
    temperature: Mapping[str, float] | None = None,
    progress: Callable[[int], object] = lambda done: None,
) -> tuple[dict[str, np.ndarray], list[str], SceneAttention | None]:
    """Runs a model over all batches in evaluation mode.

    Args:
        model: see above.
        batches: of clips, in the order of the table.
        target: the clip-level multi-label target whose queries are summed up.
        keep: id of the clip to keep whole; None = the first that has tokens in every stream.
        temperature: target -> temperature of its probabilities.
        progress: told how many clips are done.

    Returns:
        stream -> `(n, K)` attention of the target's queries to the stream; the ids; and the clip that was to be kept.

    Raises:
        ConfigError: the model does not say what its label queries look at.
    """
    import torch

    if not hasattr(model, "outputs"):
        raise ConfigError(f"a {type(model).__name__} does not say what it looks at; EmoTx does")
    model.eval()
    sums: dict[str, list[np.ndarray]] = {}
    ids: list[str] = []
    kept: SceneAttention | None = None
    with torch.inference_mode():
        for batch in batches:
            out = model.outputs(batch)
            own = {
                name.split(".", 1)[1]: weight.float().cpu().numpy()
                for name, weight in out.attention.items()
                if name.startswith(f"{target.name}.") and weight.ndim == 4
            }
            if not set(own) & set(PICTURE_AND_DIALOG):
                raise ConfigError(
                    f"this model does not say what its label queries of {target.name} look at "
                    f"(its attention: {', '.join(out.attention) or 'none'}); EmoTx does"
                )
            if any(weight.shape[1] != len(target.labels) for weight in own.values()):
                raise ConfigError(
                    f"this model has one query for all labels of {target.name}, so what it looks at is the same for each"
                )
            scenes = [{name: weight[i] for name, weight in own.items()} for i in range(batch.size)]
            for name, paid in attention_sums(scenes).items():
                sums.setdefault(name, []).append(paid)
            own_ids = list(batch.ids[: batch.size])
            ids += own_ids
            progress(len(ids))
            if kept is None:
                row = own_ids.index(keep) if keep in own_ids else None
                if keep is None:
                    full = torch.stack([batch.tokens[name].mask[: batch.size].flatten(1).any(1) for name in own]).all(0)
                    row = int(full.nonzero()[0]) if full.any() else None
                if row is not None:
                    kept = _scene(batch, out, row, temperature or {})
    return {name: np.concatenate(parts) for name, parts in sums.items()}, ids, kept


def _scene(batch: Any, out: Any, row: int, temperature: Mapping[str, float]) -> SceneAttention:
    def plain(tensor: Any) -> np.ndarray:
        return tensor[row].float().cpu().numpy()

    streams = sorted({name.split(".", 1)[1] for name in out.attention if "." in name} & set(batch.tokens))
    masks = {name: plain(batch.tokens[name].mask) > 0 for name in streams}
    times = {}
    for name in streams:
        tokens = batch.tokens[name]
        # tokens without times are laid out one after another
        times[name] = np.broadcast_to(np.arange(masks[name].shape[-1], dtype=float), masks[name].shape)
        if tokens.times is not None:
            times[name] = tokens.times[row].double().cpu().numpy()
    return SceneAttention(
        batch.ids[row],
        {name: plain(weight) for name, weight in out.attention.items()},
        masks,
        times,
        {name: expit(plain(logit) / temperature.get(name, 1.0)) for name, logit in out.logits.items()},
    )
