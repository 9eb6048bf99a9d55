"""A text encoder with one linear head a target: what fine-tuning on words alone trains."""

from collections.abc import Sequence

from torch import Tensor, nn

from merkit.data.batch import Batch
from merkit.errors import ConfigError
from merkit.models.classifier import Outputs
from merkit.networks.text_encoder import TextEncoder
from merkit.schema import TargetSpec

__all__ = ["TextClassifier"]


class TextClassifier(nn.Module):
    """Logits for every target from the token ids of a clip's words.

    A clip without words is answered by the heads' biases alone: what is likely before anything was said.

    Args:
        encoder: ids to one vector.
        specs: the questions, each asked of the clip as a whole.
        dropout: on the vector.
        stream: the batch's modality that holds the ids, one number a token.

    Raises:
        ConfigError: a target is asked of persons, of whom a text as a whole says nothing.
    """

    def __init__(
        self, encoder: TextEncoder, specs: Sequence[TargetSpec], *, dropout: float = 0.1, stream: str = "text"
    ) -> None:
        super().__init__()
        for spec in specs:
            if spec.per_entity:
                raise ConfigError(f"target {spec.name} is asked of persons; a text encoder answers for the clip")
        self.encoder, self.specs, self.stream = encoder, tuple(specs), stream
        self.dropout = nn.Dropout(dropout)
        # by place, not by name: a target may be called anything
        self.heads = nn.ModuleList([nn.Linear(encoder.width, len(spec.labels)) for spec in specs])
        # encoders come in evaluation mode, and Lightning leaves every module in the mode that it finds it in
        self.train()

    def outputs(self, batch: Batch) -> Outputs:
        """Logits `(B, K)` and the vector behind them `(B, D)`."""
        tokens = batch.tokens[self.stream]
        # ids travel as float32, as all tokens do; whole numbers are exact in it up to 2**24
        ids, mask = tokens.x[: batch.size, 0, :, 0].long(), tokens.mask[: batch.size, 0]
        embedding = self.encoder(ids, mask)
        seen = self.dropout(embedding)
        logits = {spec.name: head(seen) for spec, head in zip(self.specs, self.heads, strict=True)}
        return Outputs(logits, embedding, {}, {self.stream: mask.any(1)}, {})

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Logits of each target, `(B, K)`."""
        return dict(self.outputs(batch).logits)
