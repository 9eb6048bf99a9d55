"""Networks as graphs: ONNX, and torch's own exported programs; any number of clips, tokens and persons."""

import json
import logging
import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from merkit.data.batch import Batch, Tokens
from merkit.errors import ConfigError, StoreError
from merkit.export.clips import Check
from merkit.export.config import MerkitConfig
from merkit.export.model import answer_of
from merkit.export.parity import Answer
from merkit.export.tensors import input_names, tensors_of
from merkit.export.twins import traceable
from merkit.networks.text_encoder import TextEncoder
from merkit.schema import TargetSpec

if TYPE_CHECKING:
    from torch.export import ExportedProgram

__all__ = ["GRAPH_FILES", "Graph", "graph_answers", "ready", "write_graph"]

GRAPH_FILES = {"onnx": "model.onnx", "torch-export": "model.pt2"}
_NEEDED = ("onnx", "onnxscript", "onnxruntime")


def ready(form: str) -> None:
    """Whether a form can be written here.

    Raises:
        ConfigError: packages are missing.
    """
    missing = [name for name in _NEEDED if find_spec(name) is None] if form == "onnx" else []
    if missing:
        raise ConfigError(f"--to onnx needs {', '.join(missing)}: pip install 'merkit[export]'")


class Graph(nn.Module):
    """What is traced: named tensors in order in, `TARGET.logits` and `TARGET.probs` of every target out.

    Standardisation, temperatures and the mean over networks are inside.

    Args:
        config: of the export.
        networks: twins.
    """

    def __init__(self, config: MerkitConfig, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.names = tuple(input_names(config))
        self.modalities, self.times = tuple(config.modalities), tuple(config.times)
        self.personal = tuple(name for name in config.modalities if config.streams.get(name, {}).get("per_entity"))
        self.ids = tuple(name for name in config.modalities if config.streams.get(name, {}).get("dtype") == "ids")
        limits = [part.tokeniser.limit for part in self.networks.modules() if isinstance(part, TextEncoder)]
        self.limit = min(limits, default=0)
        """Tokens of a text at most: an encoder has no more places than that. 0 = any number."""
        self.specs: tuple[TargetSpec, ...] = config.specs
        self.temperature = [dict(each) for each in config.temperature]

    @property
    def answers(self) -> list[str]:
        """Names of what comes out."""
        return [f"{spec.name}.{kind}" for spec in self.specs for kind in ("logits", "probs")]

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """In the order of `names`; out in that of `answers`."""
        given = dict(zip(self.names, tensors, strict=True))
        tokens = {}
        for name in self.modalities:
            x, mask, times = given[name], given[f"{name}_mask"], given.get(f"{name}_times")
            if name not in self.personal:
                x, mask, times = x[:, None], mask[:, None], None if times is None else times[:, None]
            tokens[name] = Tokens(x, mask, times)
        context = given.get("context")
        size = (given[self.modalities[0]] if context is None else context).shape[0]
        batch = Batch((), size, tokens, context, given.get("position"))
        said = [network(batch) for network in self.networks]
        logits, probs = answer_of(said, self.specs, self.temperature)
        return tuple(x for spec in self.specs for x in (logits[spec.name], probs[spec.name]))


def write_graph(config: MerkitConfig, networks: Sequence[nn.Module], example: Batch, folder: Path, form: str) -> None:
    """Writes `model.onnx` or `model.pt2`.

    Args:
        config: of the export.
        networks: of the run.
        example: to trace with; its sizes are not kept.
        folder: to write to.
        form: `onnx` or `torch-export`.

    Raises:
        ConfigError: no graph can be made of the networks; the message says why.
    """
    graph = Graph(config, [traceable(network, f"system {config.system}") for network in networks]).eval()
    program = _traced(graph, config, example)
    path = folder / GRAPH_FILES[form]
    if form == "torch-export":
        torch.export.save(program, path)
    else:
        _converted(program, graph, config).save(path)
    notes = {"inputs": list(graph.names), "outputs": graph.answers}
    (folder / "graph.json").write_text(json.dumps(notes, indent=1) + "\n", encoding="utf-8")


def _converted(program: "ExportedProgram", graph: Graph, config: MerkitConfig) -> Any:
    names: dict[str, Any] = {"input_names": list(graph.names), "output_names": graph.answers}
    try:
        with _quiet():
            return torch.onnx.export(program, (), None, dynamo=True, verbose=False, **names)
    except Exception as error:  # noqa: BLE001  the exporter has many kinds of error, all with the same meaning here
        raise ConfigError(f"system {config.system}: ONNX cannot express its networks ({_last(error)})") from None


@contextmanager
def _quiet() -> Generator[None]:
    """Without what libraries say about one another, and what a first way says that a second one makes good."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _last(error: BaseException) -> str:
    """What was wrong in the first place, in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split())[:300]


def _traced(graph: Graph, config: MerkitConfig, example: Batch) -> "ExportedProgram":
    given = tensors_of(config, example)
    tensors = tuple(given[name] for name in graph.names)
    shapes = (tuple(_sizes(graph, name) for name in graph.names),)
    said = ""
    for strict in (True, False):
        try:
            with torch.no_grad(), _quiet():
                return torch.export.export(graph, tensors, dynamic_shapes=shapes, strict=strict)
        except Exception as error:  # noqa: BLE001  whatever a tracer raises, it means the same to a user
            said = said or _last(error)
    raise ConfigError(f"system {config.system}: its networks cannot be traced ({said})")


def _sizes(graph: Graph, name: str) -> dict[int, Any]:
    """Which sizes of an input are free."""
    from torch.export import Dim

    if name in ("context", "position"):
        return {0: Dim("clips"), 1: Dim("turns")}
    stream = name.removesuffix("_mask").removesuffix("_times") if name not in graph.modalities else name
    rows = Dim("rows" if "context" in graph.names else "clips")
    most = {} if stream not in graph.ids or not graph.limit else {"max": graph.limit}
    time = Dim(f"{stream}_time", **most)
    return {0: rows, 1: Dim("persons"), 2: time} if stream in graph.personal else {0: rows, 1: time}


def graph_answers(config: MerkitConfig, folder: Path, form: str, checks: Sequence[Check]) -> list[Answer]:
    """What a written graph says to batches of any size.

    Raises:
        StoreError: it cannot be read or run.
    """
    names = input_names(config)
    found = []
    try:
        if form == "torch-export":
            module = torch.export.load(folder / GRAPH_FILES[form]).module()
        else:
            import onnxruntime

            session = onnxruntime.InferenceSession(str(folder / GRAPH_FILES[form]), providers=["CPUExecutionProvider"])
        outputs = [f"{spec.name}.{kind}" for spec in config.specs for kind in ("logits", "probs")]
        for check in checks:
            given = tensors_of(config, check.batch)
            if form == "torch-export":
                with torch.inference_mode():
                    said = module(*(given[name] for name in names))
            else:
                taken = {each.name for each in session.get_inputs()}
                fed = {name: given[name].numpy() for name in names if name in taken}
                said = [torch.from_numpy(each) for each in session.run(outputs, fed)]
            found.append(dict(zip(outputs, said, strict=True)))
    except Exception as error:  # noqa: BLE001  of a runtime that is not ours
        raise StoreError(f"{folder}: the graph cannot be run ({' '.join(str(error).split())[:300]})") from None
    return found
