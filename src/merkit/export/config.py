"""`config.json` of an exported model: everything but the weights that its answers depend on."""

from dataclasses import field
from typing import Any

from transformers.configuration_utils import PreTrainedConfig

from merkit.schema import TargetSpec

__all__ = ["MerkitConfig"]


class MerkitConfig(PreTrainedConfig):
    """What an exported run is.

    `system` and `config` stand where a run has them, so an exported folder is a run as well.

    Args:
        system: name of the recipe.
        config: its effective config.
        modalities: streams that it looks at, in order.
        widths: stream -> `D` of its tokens.
        targets: the questions, as in a run's record.
        temperature: of each network, target -> what its logits are divided by.
        streams: stream -> where its features come from (`source`, an extractor id), which numbers they are (`dtype`) and
            whether they are of persons (`per_entity`).
        context: `[earlier, later]`: turns of the dialogue that a clip is seen with.
        times: streams whose token times are looked at.
        encoders: pretrained encoders that are part of the networks: where in the config they are named, what they are
            called, the hash of the weights that they began with, and the folder beside this file that describes them.
        seeds: of the networks, whose answers are averaged.
        merkit_version: that wrote it.
    """

    model_type = "merkit"

    system: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    modalities: list[str] = field(default_factory=list)
    widths: dict[str, int] = field(default_factory=dict)
    targets: list[dict[str, Any]] = field(default_factory=list)
    temperature: list[dict[str, float]] = field(default_factory=list)
    streams: dict[str, dict[str, Any]] = field(default_factory=dict)
    context: list[int] = field(default_factory=lambda: [0, 0])
    times: list[str] = field(default_factory=list)
    encoders: list[dict[str, Any]] = field(default_factory=list)
    seeds: list[int] = field(default_factory=list)
    merkit_version: str = ""

    @property
    def specs(self) -> tuple[TargetSpec, ...]:
        """The targets as merkit has them."""
        return tuple(
            TargetSpec(each["name"], each["kind"], tuple(each["labels"]), each["per_entity"]) for each in self.targets
        )
