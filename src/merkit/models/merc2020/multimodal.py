"""The MERC2020 model: one of the three networks, or all that are there side by side."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from merkit.data.batch import Batch, Tokens
from merkit.data.table import TokenColumn
from merkit.errors import ConfigError, WeightError
from merkit.models.classifier import Outputs
from merkit.models.merc2020.face import FaceNet
from merkit.models.merc2020.frames import FrameNet
from merkit.models.merc2020.recurrent import folded
from merkit.models.merc2020.speech import SpeechNet
from merkit.models.merc2020.words import WordNet
from merkit.models.readout import LabelHeads
from merkit.models.streams import drop_modalities, rows_of
from merkit.networks.efficientnet_weights import read_tensors
from merkit.schema import TargetSpec

__all__ = ["NETWORKS", "MERC2020Model", "Mode"]

Mode = Literal["speech", "face", "text", "multimodal"]
NETWORKS = ("speech", "face", "text")
"""The modalities, in the order in which their features stand side by side."""


class MERC2020Model(nn.Module):
    """Logits from speech, face and text, each through its own network.

    Mode `speech`, `face` or `text`: that network alone answers every target. Mode `multimodal`: the features of all networks
    side by side, 1024 + 640 + 200 as published, and one linear layer a target. There, a target called `speech_emotion` is
    answered by the speech network's own head, `face_emotion` by the face network's; the head of a network that has no
    such target answers the other targets as an auxiliary head.

    A clip that lacks a modality costs nothing of that network: a learned vector stands for its feature. In evaluation
    mode no answer depends on the other clips of a batch.

    Args:
        mode: which networks there are.
        widths: modality -> width of its features; those of other names are not looked at.
        specs: the questions; the first is the task.
        speech: settings of `SpeechNet`; with `backbone="none"`, of `FrameNet`, which takes frames of any width as they are.
        face: settings of `FaceNet`, or in the same way of `FrameNet`.
        text: settings of `WordNet`.
        freeze_backbone: keep what a unimodal run or public weights have taught as it is, batch norm and dropout in
            evaluation mode: in mode `multimodal` the networks, so that the linear layer over them learns; in mode
            `speech` or `face` the convolutions, so that the BiLSTM learns.
        modality_dropout: probability, in training, that a modality that is there is taken from a clip; never the last one.
        auxiliary: False leaves out heads that answer no target of their own, which nothing would train.

    Raises:
        ConfigError: a modality has no width, a target is asked of persons, or there is nothing to freeze.

    Example:
        >>> spec = TargetSpec("emotion", "single_label", ("happy", "angry"))
        >>> model = MERC2020Model("multimodal", {"speech": 64, "text": 20}, [spec], speech={"backbone": "tiny",
        ...     "frames": 64, "hidden": 8}, text={"layers": 1, "heads": 4, "feedforward": 16}).eval()
        >>> batch = Batch(("a",), 1, {"speech": Tokens(torch.rand(1, 1, 30, 64), torch.ones(1, 1, 30) > 0),
        ...     "text": Tokens(torch.zeros(1, 1, 1, 20), torch.zeros(1, 1, 1) > 0)})
        >>> out = model.outputs(batch)
        >>> out.logits["emotion"].shape, out.embedding.shape, sorted(out.auxiliary)
        (torch.Size([1, 2]), torch.Size([1, 36]), ['speech', 'text'])
    """

    def __init__(
        self,
        mode: Mode,
        widths: Mapping[str, int],
        specs: Sequence[TargetSpec],
        *,
        speech: Mapping[str, Any] | None = None,
        face: Mapping[str, Any] | None = None,
        text: Mapping[str, Any] | None = None,
        freeze_backbone: bool = False,
        modality_dropout: float = 0.0,
        auxiliary: bool = True,
    ) -> None:
        super().__init__()
        if mode not in (*NETWORKS, "multimodal"):
            raise ConfigError(f"mode is {mode!r}; it can be {', '.join(NETWORKS)} or multimodal")
        names = [name for name in NETWORKS if name in widths and mode in (name, "multimodal")]
        if not names or not specs:
            wanted = "speech, face or text" if mode == "multimodal" else mode
            raise ConfigError(
                f"mode {mode} needs {wanted} and a target; there are {', '.join(widths) or 'no features'}"
            )
        for spec in specs:
            if spec.per_entity:
                raise ConfigError(f"target {spec.name} is asked of persons; this model answers for the clip")
        self.mode, self.specs, self.modality_dropout = mode, tuple(specs), modality_dropout
        fused = mode == "multimodal"
        self.own = {name: spec for name in names for spec in specs[1:] if fused and spec.name == f"{name}_emotion"}
        self.shared = tuple(spec for spec in specs if spec not in self.own.values())
        asked = {
            name: (self.own[name],) if name in self.own else self.shared if auxiliary or not fused else ()
            for name in names
        }
        self.asked: dict[str, tuple[TargetSpec, ...]] = asked
        classes = {name: sum(len(spec.labels) for spec in asked[name]) for name in names}
        settings: dict[str, dict[str, Any]] = {
            "speech": dict(speech or {}),
            "face": dict(face or {}),
            "text": {"width": widths.get("text", 0), **(text or {})},
        }
        build: dict[str, Any] = {"speech": SpeechNet, "face": FaceNet, "text": WordNet}
        for name in ("speech", "face"):
            if settings[name].get("backbone") == "none":
                del settings[name]["backbone"]
                settings[name] |= {"width": widths.get(name, 0), "what": name}
                build[name] = FrameNet
        self.networks: Any = nn.ModuleDict({name: build[name](classes[name], **settings[name]) for name in names})
        self.heads: Any = None
        if fused:
            self.heads = LabelHeads(sum(net.width for net in self.networks.values()), self.shared)
        self.frozen = freeze_backbone
        if freeze_backbone:
            for module in self._frozen():
                module.requires_grad_(False)
            if fused:
                for net in self.networks.values():
                    # nobody has taught it what stands for something absent
                    net.absent.requires_grad_(True)
        self.train()

    def _frozen(self) -> Iterable[nn.Module]:
        if self.mode == "multimodal":
            return self.networks.values()
        net = self.networks[self.mode]
        if not hasattr(net, "backbone"):
            raise ConfigError(f"freeze_backbone: mode {self.mode} has no backbone that public weights could teach")
        return [net.backbone]

    def train(self, mode: bool = True) -> "MERC2020Model":
        """Training mode for everything that is not frozen."""
        super().train(mode)
        if self.frozen:
            for module in self._frozen():
                module.eval()
        return self

    def fit_standardiser(self, streams: Mapping[str, TokenColumn]) -> None:
        """Sets centre and scale of word vectors, and of frames without a backbone, from the tokens of the TRAINING part;
        sound and pictures have scales of their own."""
        for name, net in self.networks.items():
            if hasattr(net, "scale"):
                net.scale.fit(streams[name].x)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """target -> logits `(B, K)`."""
        return dict(self.outputs(batch).logits)

    def outputs(self, batch: Batch) -> Outputs:
        """Logits, the features side by side `(B, F)`, what single networks say of targets they do not own, who took part.

        Raises:
            ConfigError: the batch lacks a modality of this model (as opposed to clips that lack it: those are masked).
        """
        if missing := [name for name in self.networks if name not in batch.tokens]:
            raise ConfigError(f"the batch has no {', '.join(missing)}; it has {', '.join(batch.tokens) or 'nothing'}")
        streams = {name: Tokens(*folded(rows_of(batch.tokens[name], batch.size), name)) for name in self.networks}
        if self.training and self.modality_dropout:
            streams = drop_modalities(streams, self.modality_dropout)
        present = {name: tokens.present for name, tokens in streams.items()}
        features, said = [], {}
        for name, net in self.networks.items():
            feature, logits = net(streams[name])
            features.append(feature)
            sizes = [len(spec.labels) for spec in self.asked[name]]
            said[name] = (
                {spec.name: part for spec, part in zip(self.asked[name], logits.split(sizes, 1), strict=True)}
                if sizes
                else {}
            )
        embedding = torch.cat(features, 1)
        if self.heads is None:
            return Outputs(said[self.mode], embedding, {}, present, {})
        logits = self.heads(embedding)
        for name, spec in self.own.items():
            logits[spec.name] = said[name][spec.name]
        auxiliary = {name: said[name] for name in said if name not in self.own and said[name]}
        return Outputs({spec.name: logits[spec.name] for spec in self.specs}, embedding, auxiliary, present, {})

    def load_backbone(self, path: str | Path) -> tuple[str, ...]:
        """Takes the networks that a unimodal run has trained.

        Args:
            path: the run's folder (that of one seed) or its `.safetensors` file.

        Returns:
            The modalities whose network was taken. A head that was trained for other labels is left as it is here.

        Raises:
            WeightError: it holds no network that this model has, or one of other sizes.
        """
        path = Path(path)
        file = path / "model.safetensors" if path.is_dir() else path
        if seeds := sorted(path.glob("seed-*")):
            raise WeightError(f"{path}: a run of several seeds; name one of them, such as {seeds[0]}")
        theirs, ours = read_tensors(file), self.state_dict()
        names = sorted({key.split(".")[1] for key in theirs if key.startswith("networks.")} & set(self.networks))
        if not names:
            raise WeightError(f"{file}: holds no network for {', '.join(self.networks)}")
        for name in names:
            prefix = f"networks.{name}."
            head = f"{prefix}head."
            state = {
                key.removeprefix(prefix): value
                for key, value in theirs.items()
                if key.startswith(prefix)
                and not (key.startswith(head) and (key not in ours or ours[key].shape != value.shape))
            }
            for key, value in ours.items():
                if key.startswith(head):
                    state.setdefault(key.removeprefix(prefix), value)
            try:
                self.networks[name].load_state_dict(state)
            except RuntimeError as error:
                raise WeightError(f"{file}: the {name} network is of another build ({error})") from error
        return tuple(names)
