"""Any text encoder by name as one module: tokenizer, transformer, and how token states become one vector.

Encoders are Hugging Face transformers, MiniLM of the catalogue among them, so that all have their own dropout and
pooler and can be fine-tuned. Weights are read from safetensors alone and no code that comes with a model is run.
"""

import json
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from merkit.errors import ConfigError, WeightError
from merkit.networks.minilm import batches_by_length
from merkit.networks.text_source import FITTED
from merkit.networks.text_tokens import Tokeniser

__all__ = ["TextEncoder", "TextPooling", "quiet_transformers"]

TextPooling = Literal["pooler", "cls", "mean", "last"]


class TextEncoder(nn.Module):
    """A transformer over token ids, `(B, T) -> (B, D)`; and over texts, outside of training.

    Args:
        backbone: a transformers model without a head.
        tokeniser: of the same model.
        pooling: `pooler` = its own trained pooler over the first token; `cls` = the first token's state; `mean` = of all
            tokens' states, special ones included; `last` = the last token's, for models that read from left to right.
        freeze_layers: so many layers from below, and the embeddings under them, keep their weights and are free of
            dropout; -1 = everything.
        name: of the encoder, for `id`.
        sha256: of its weights.
        fitted_on: splits whose labels it saw.

    Raises:
        ConfigError: it has no such pooling, or fewer layers.
    """

    def __init__(
        self,
        backbone: Any,
        tokeniser: Tokeniser,
        *,
        pooling: TextPooling = "mean",
        freeze_layers: int = 0,
        name: str = "",
        sha256: str = "",
        fitted_on: tuple[str, ...] = (),
    ) -> None:
        super().__init__()
        if pooling not in get_args(TextPooling):
            raise ConfigError(f"pooling={pooling}: there are {', '.join(get_args(TextPooling))}")
        if pooling == "pooler" and getattr(backbone, "pooler", None) is None:
            raise ConfigError(f"pooling=pooler: {name or 'this encoder'} has none; take cls, mean or last")
        if pooling == "cls" and not tokeniser.has_cls:
            raise ConfigError(f"pooling=cls: {name or 'this encoder'} begins texts with no token of its own; take last")
        if pooling != "pooler" and hasattr(backbone, "pooler"):
            backbone.pooler = None  # weights that nothing reads would get no gradient
        if getattr(backbone.config, "use_cache", False):
            backbone.config.use_cache = False
        self.backbone, self.tokeniser, self.pooling = backbone, tokeniser, pooling
        self.name, self.sha256, self.fitted_on = name, sha256, fitted_on
        self.width = int(backbone.config.hidden_size)
        pad = getattr(backbone.config, "pad_token_id", None)
        self.pad_id = int(pad) if pad is not None else 0
        # weights mean nothing without the tokenizer they were trained behind, so they carry its hash
        digest = bytes.fromhex(tokeniser.sha256) if tokeniser.sha256 else bytes(32)
        self.register_buffer("tokenizer_sha256", torch.tensor(list(digest), dtype=torch.uint8))
        self.register_load_state_dict_pre_hook(_same_tokenizer)
        self._frozen = _freeze(backbone, freeze_layers, name)
        self.train(self.training)

    @property
    def id(self) -> str:
        """Name, hashes of weights and tokenizer, pooling and limit: what its vectors depend on."""
        return f"{self.name}@{self.sha256[:12]}.{self.tokeniser.sha256[:6]}:{self.pooling}:{self.tokeniser.limit}"

    def train(self, mode: bool = True) -> "TextEncoder":
        """As `nn.Module.train`; frozen parts stay in evaluation mode."""
        super().train(mode)
        for part in self._frozen:
            part.eval()
        return self

    def states(self, ids: Tensor, mask: Tensor) -> Tensor:
        """`(B, T)` ids and mask, True = real -> `(B, T, D)` states; those of padding mean nothing."""
        return self._run(ids, mask).last_hidden_state

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """`(B, T)` ids and mask, True = real, on the left -> `(B, D)`; zeros where a text has no token at all."""
        there = mask.any(1)
        out = self._run(ids, mask)
        if self.pooling == "pooler":
            pooled = out.pooler_output
        elif self.pooling == "cls":
            pooled = out.last_hidden_state[:, 0]
        elif self.pooling == "last":
            last = (mask.sum(1) - 1).clamp(min=0)
            pooled = out.last_hidden_state[torch.arange(len(ids), device=ids.device), last]
        else:
            states = out.last_hidden_state.masked_fill(~mask[..., None], 0)
            pooled = states.sum(1) / mask.sum(1, keepdim=True).clamp(min=1)
        return torch.where(there[:, None], pooled, torch.zeros_like(pooled))

    def _run(self, ids: Tensor, mask: Tensor) -> Any:
        # a batch pads with whatever it likes, which need not be an id; RoBERTa would count it as a position, too
        ids = ids.masked_fill(~mask, self.pad_id)
        if bool(mask.all()):
            return self.backbone(input_ids=ids)
        first = torch.zeros_like(mask)
        first[:, 0] = True
        # attention over nothing is not a number: a text without tokens looks at one, and is set to zero afterwards
        return self.backbone(input_ids=ids, attention_mask=(mask | (first & ~mask.any(1, keepdim=True))).long())

    @torch.inference_mode()
    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """`(n, D)` float32 in evaluation mode; blank texts are zeros. Texts are batched with those of their length."""
        tokens = self.tokeniser(texts).ids
        found = np.zeros((len(texts), self.width), np.float32)
        kept = [i for i, ids in enumerate(tokens) if ids]
        with _evaluating(self):
            for batch in batches_by_length([len(tokens[i]) for i in kept]):
                rows = [kept[i] for i in batch]
                found[rows] = self(*self._padded([tokens[i] for i in rows])).float().cpu().numpy()
        return found

    @torch.inference_mode()
    def encode_joined(self, groups: Sequence[Sequence[str]]) -> list[np.ndarray]:
        """Texts of one group (a scene) are read together; each is the mean of its own tokens' states.

        Args:
            groups: texts in the order in which they were said. A group longer than the limit is read in windows of whole
                texts.

        Returns:
            `(n_i, D)` float32 for each group; zeros for blank texts.
        """
        windows = [(g, window) for g, texts in enumerate(groups) for window in self.tokeniser.windows(texts)]
        found = [np.zeros((len(texts), self.width), np.float32) for texts in groups]
        with _evaluating(self):
            for batch in batches_by_length([len(window.ids) for _, window in windows]):
                states = self.states(*self._padded([windows[i][1].ids for i in batch])).float().cpu().numpy()
                for i, state in zip(batch, states, strict=True):
                    g, window = windows[i]
                    for text in np.unique(window.owner[window.owner >= 0]):
                        found[g][text] = state[: len(window.owner)][window.owner == text].mean(0)
        return found

    def save(self, folder: Path) -> Path:
        """Writes weights, config and tokenizer as a folder that this room and transformers read by name; it appears whole.

        A note beside them says which labels the encoder saw.

        Raises:
            WeightError: there is something of that name, or it cannot be written.
        """
        if folder.exists():
            raise WeightError(f"{folder}: is there already")
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as scratch:
                made = Path(scratch) / "made"
                with quiet_transformers():
                    self.backbone.save_pretrained(made)
                    self.tokeniser.tokenizer.save_pretrained(made)
                note = {"encoder": self.id, "fitted_on": list(self.fitted_on)}
                (made / FITTED).write_text(json.dumps(note) + "\n", encoding="utf-8")
                made.rename(folder)
        except OSError as error:
            raise WeightError(f"{folder}: cannot be written ({error.strerror})") from None
        return folder

    def _padded(self, tokens: list[list[int]]) -> tuple[Tensor, Tensor]:
        ids = torch.full((len(tokens), max(map(len, tokens))), self.pad_id)
        mask = torch.zeros(ids.shape, dtype=torch.bool)
        for row, own in enumerate(tokens):
            ids[row, : len(own)], mask[row, : len(own)] = torch.tensor(own), True
        device = next(self.parameters()).device
        return ids.to(device), mask.to(device)


@contextmanager
def quiet_transformers() -> Generator[None]:
    """Without progress bars and remarks on what a checkpoint lacks, which is judged here."""
    from transformers.utils import logging

    bar, loud = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(loud)
        if bar:
            logging.enable_progress_bar()


class _evaluating:
    """Evaluation mode for a while."""

    def __init__(self, module: nn.Module) -> None:
        self.module, self.before = module, module.training

    def __enter__(self) -> None:
        self.module.eval()

    def __exit__(self, *_: object) -> None:
        self.module.train(self.before)


def _same_tokenizer(module: nn.Module, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    held = state.get(f"{prefix}tokenizer_sha256")
    own = module.get_buffer("tokenizer_sha256")
    if held is not None and not torch.equal(held.cpu(), own.cpu()):
        raise WeightError(
            f"these weights were trained with another tokenizer (sha256 {bytes(held.tolist()).hex()[:12]}) than that of "
            f"{module.name} here ({bytes(own.tolist()).hex()[:12]}): the folder has changed since"
        )


def _freeze(backbone: Any, count: int, name: str) -> list[nn.Module]:
    """Takes the gradient from the lowest layers and what lies under them, and gives those parts."""
    if count == 0:
        return []
    if count == -1:
        backbone.requires_grad_(False)
        return [backbone]
    total = int(getattr(backbone.config, "num_hidden_layers", 0))
    parts = list(backbone.named_modules())
    stack = next(
        (i for i, (_, part) in enumerate(parts) if isinstance(part, nn.ModuleList) and len(part) == total), None
    )
    if stack is None or not 0 < count <= total:
        raise ConfigError(
            f"freeze_layers={count}: {name or 'this encoder'} has {total} layers; 0 = none, -1 = everything"
        )
    # modules come in the order in which they are applied: what has no children and comes before the layers is under them
    below = [part for _, part in parts[:stack] if not list(part.children())]
    frozen = [*below, *list(parts[stack][1].children())[:count]]
    for part in frozen:
        part.requires_grad_(False)
    return frozen
