"""The face head: merkit's FaceNet trained on FER2013 train, its last layer refitted and calibrated on PublicTest.

    python -m benchmarks.first_model.face            # trains (resumes where it was stopped), then ships
    python -m benchmarks.first_model.face --ship     # ships what the last training left

One cycle of 30 epochs; AdamW, label smoothing, an exponential moving average of the weights, which is what ships.
Augmentation stands in for what video does to faces: turned, off-centre, over- and underexposed, blurred, partly hidden.
"""

import argparse
import time
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.first_model.packs import WORK, fer2013
from merkit.networks.face_net import FACE_NET_WIDTH, FaceNet, grey48

EPOCHS, BATCH, PEAK = 30, 128, 2e-3
CHECKPOINT = WORK / "face-net.pt"


class Trained(nn.Module):
    """FaceNet with the linear layer that training needs."""

    def __init__(self) -> None:
        super().__init__()
        self.net = FaceNet()
        self.out = nn.Linear(FACE_NET_WIDTH, 7)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(F.dropout(self.net(x), 0.3, self.training))


def augment(x: Tensor, generator: torch.Generator) -> Tensor:
    """`(B, 1, 48, 48)` normalised faces, each disturbed on its own."""
    count = len(x)

    def uniform(width: float, *shape: int) -> Tensor:
        return (torch.rand(count, *shape, generator=generator) - 0.5) * width

    angle, zoom = uniform(0.52), 1 + uniform(0.36)
    shift_x, shift_y = uniform(0.26), uniform(0.26)
    mirror = torch.where(uniform(1.0) < 0, -1.0, 1.0)
    cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    theta = torch.stack(
        [torch.stack([cos * mirror, -sin, shift_x], 1), torch.stack([sin * mirror, cos, shift_y], 1)], 1
    )
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    x = F.grid_sample(x, grid, padding_mode="border", align_corners=False)
    x = x * (1 + uniform(0.6, 1, 1, 1)) + uniform(0.3, 1, 1, 1)
    blurred = count // 4
    size = int(torch.randint(18, 40, (1,), generator=generator))
    x[:blurred] = F.interpolate(F.interpolate(x[:blurred], size, mode="area"), 48, mode="bilinear")
    for i in range(0, count, 3):
        height, width = torch.randint(6, 20, (2,), generator=generator).tolist()
        top, left = torch.randint(0, 42, (2,), generator=generator).tolist()
        x[i, :, top : top + height, left : left + width] = 0
    return x


def follow(average: nn.Module, model: nn.Module, step: int) -> None:
    """Moves the average towards the model; early on it follows faster."""
    decay = min(0.999, (1 + step) / (10 + step))
    with torch.no_grad():
        for old, new in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
            if old.dtype.is_floating_point:
                old.lerp_(new, 1 - decay)
            else:
                old.copy_(new)


@torch.inference_mode()
def public_accuracy(model: Trained, faces: Tensor, target: Tensor) -> float:
    """Accuracy on PublicTest, face and mirror image averaged."""
    model.eval()
    right = 0
    for first in range(0, len(faces), 512):
        x = faces[first : first + 512].contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            prob = model(x).float().softmax(1) + model(x.flip(3)).float().softmax(1)
        right += int((prob.argmax(1) == target[first : first + 512]).sum())
    return right / len(faces)


def train() -> Trained:
    """All epochs, with a checkpoint after each one."""
    faces, target = (torch.from_numpy(part) for part in fer2013("train"))
    public, public_target = fer2013("publictest")
    public_x, public_y = grey48(public), torch.from_numpy(public_target)
    torch.manual_seed(0)
    model, average = (Trained().to(memory_format=torch.channels_last) for _ in range(2))
    average.load_state_dict(model.state_dict())
    state = {"epoch": 0, "step": 0}
    optimiser = torch.optim.AdamW(model.parameters(), PEAK, weight_decay=0.02)
    steps = len(faces) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, PEAK, total_steps=EPOCHS * steps, pct_start=0.15)
    if CHECKPOINT.is_file():
        kept = torch.load(CHECKPOINT, weights_only=True)
        for name, part in (("model", model), ("average", average), ("optimiser", optimiser), ("schedule", schedule)):
            part.load_state_dict(kept[name])
        state = kept["state"]
        print(f"going on from {state}", flush=True)
    for epoch in range(state["epoch"], EPOCHS):
        begun = time.time()
        generator = torch.Generator().manual_seed(epoch)
        order = torch.randperm(len(faces), generator=generator)
        model.train()
        total = 0.0
        for at in range(0, steps * BATCH, BATCH):
            rows = order[at : at + BATCH]
            x = augment(grey48(faces[rows].numpy()), generator).contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16):
                logit = model(x)
            loss = F.cross_entropy(logit.float(), target[rows], label_smoothing=0.05)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
            state["step"] += 1
            follow(average, model, state["step"])
            total += loss.item()
        accuracy = public_accuracy(average, public_x, public_y)
        print(
            f"epoch {epoch}: loss {total / steps:.4f}, PublicTest accuracy of the average "
            f"{accuracy:.4f}, {time.time() - begun:.0f} s",
            flush=True,
        )
        state["epoch"] = epoch + 1
        keep = {"model": model.state_dict(), "average": average.state_dict(), "state": state}
        keep |= {"optimiser": optimiser.state_dict(), "schedule": schedule.state_dict()}
        CHECKPOINT.parent.mkdir(exist_ok=True)
        torch.save(keep, CHECKPOINT.with_suffix(".tmp"))
        CHECKPOINT.with_suffix(".tmp").replace(CHECKPOINT)
    return average.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ship", action="store_true", help="do not train on; ship the last checkpoint")
    arguments = parser.parse_args()
    from benchmarks.first_model.ship_face import ship_face

    if arguments.ship:
        average = Trained()
        average.load_state_dict(torch.load(Path(CHECKPOINT), weights_only=True)["average"])
        ship_face(average.eval())
    else:
        ship_face(train())


if __name__ == "__main__":
    main()
