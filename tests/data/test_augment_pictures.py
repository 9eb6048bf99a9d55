"""Mirrored, rotated and lit pictures against numpy and scipy.ndimage, and cutmix counted pixel by pixel."""

import numpy as np
import pytest
import torch
from augmented_batches import EMOTION, SPECS, batch_of, faces, pictures, spectrograms
from scipy import ndimage
from scipy.stats import kstest

from merkit.data.augment import BrightnessContrast, CutMix3D, Flip, Rotation
from merkit.data.batch import Batch
from merkit.errors import ConfigError


def augmented(step, batch: Batch, seed: int = 0) -> Batch:
    torch.manual_seed(seed)
    return step(batch, SPECS)


@pytest.mark.parametrize("bytes_", [True, False])
def test_mirrored_clips_are_mirrored_in_every_picture(bytes_: bool) -> None:
    batch = faces([5] * 200, side=4, bytes_=bytes_)
    before, after = pictures(batch).numpy(), pictures(augmented(Flip(), batch)).numpy()
    assert after.dtype == before.dtype
    mirrored = np.flip(before, 3)
    hit = (after == mirrored).all((1, 2, 3, 4))
    assert ((after == before).all((1, 2, 3, 4)) ^ hit).all() and 80 < hit.sum() < 120
    np.testing.assert_array_equal(pictures(batch), before)  # not in place


@pytest.mark.parametrize(
    ("fill", "mode"), [("zeros", "grid-constant"), ("border", "nearest"), ("reflection", "reflect")]
)
@pytest.mark.parametrize("side", [12, 9])
def test_rotation_is_that_of_scipy_with_one_angle_a_clip(fill: str, mode: str, side: int) -> None:
    batch = faces([4, 2, 3], side)
    after = pictures(augmented(Rotation(30.0, 1.0, fill=fill), batch, seed=3)).numpy()
    torch.manual_seed(3)
    angles = (2 * torch.rand(3, 1) - 1).flatten().numpy() * 30
    for i, clip in enumerate(pictures(batch).numpy()):
        for t, picture in enumerate(clip):
            wanted = ndimage.rotate(picture, angles[i], reshape=False, order=1, mode=mode)
            np.testing.assert_allclose(after[i, t], wanted, atol=2e-5)
    # and scipy's positive angles are counterclockwise
    corner = np.zeros((5, 5))
    corner[0, 4] = 1
    np.testing.assert_allclose(ndimage.rotate(corner, 90, reshape=False, order=1), np.rot90(corner), atol=1e-9)


def test_angles_are_even_and_a_share_of_clips_is_rotated() -> None:
    # the angle shows in where a bright spot right of the middle goes
    side, count = 41, 600
    spot = torch.zeros(side, side, 3)
    spot[19:22, 34:37] = 1
    batch = batch_of({"face": [1] * count}, {"face": spot.flatten().repeat(count, 1, 1)})
    out = pictures(augmented(Rotation(), batch))[:, 0, :, :, 0].double()
    at = torch.arange(side).double() - 20
    weight = out.sum((1, 2))
    x, y = (out.sum(1) * at).sum(1) / weight, (out.sum(2) * at).sum(1) / weight
    angles = torch.rad2deg(torch.atan2(-y, x)).numpy()  # rows count downwards
    rotated = np.abs(angles) > 1e-6
    assert 0.64 < rotated.mean() < 0.76
    assert kstest((angles[rotated] + 30) / 60, "uniform").pvalue > 0.01


def test_bytes_become_shares_of_one_where_a_step_needs_it() -> None:
    bytes_, floats = faces([3, 1], bytes_=True), faces([3, 1])
    for step in (Rotation(prob=1.0), Rotation(prob=0.0), BrightnessContrast("face", 0.5, 0.5)):
        one, other = pictures(augmented(step, bytes_)), pictures(augmented(step, floats))
        assert one.dtype == torch.float32 and not one[1, 1:].any()
        torch.testing.assert_close(one, other)
        assert one.min() >= 0 and one.max() <= 1
    for step in (Flip(), CutMix3D()):
        assert pictures(augmented(step, bytes_)).dtype == torch.uint8
    assert pictures(bytes_).dtype == torch.uint8


def test_pictures_of_a_clip_are_lit_alike() -> None:
    still = faces([1], side=6).tokens["face"].x[0, 0].expand(40, 7, -1)
    out = pictures(augmented(BrightnessContrast("face", 0.5, 0.5), batch_of({"face": [7] * 40}, {"face": still})))
    assert torch.equal(out, out[:, :1].expand_as(out))
    assert len(np.unique(out[:, 0, 0, 0, 0].numpy())) > 20


def box_of(changed: np.ndarray) -> tuple[int, int, int, int]:
    """Top, left, bottom, right of the True cells of a picture, which must be a whole rectangle."""
    rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    if not len(rows):
        return 0, 0, 0, 0
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    assert changed[top:bottom, left:right].all()
    return top, left, bottom, right


@pytest.mark.parametrize("per", ["clip", "batch"])
def test_cutmix_swaps_one_box_in_all_pictures_and_answers_by_pixel_count(per: str) -> None:
    side, lengths = 16, [2, 5, 3, 1, 0, 4] * 6
    batch = faces(lengths, side)
    given = pictures(batch).clone()
    boxes, areas = [], []
    for seed in range(12):
        out = augmented(CutMix3D(per=per), batch, seed)
        torch.manual_seed(seed)
        partner = torch.randperm(len(lengths)).numpy()
        before, after = pictures(batch).numpy(), pictures(out).numpy()
        hot = np.eye(7)[batch.targets["emotion"].numpy()]
        for i, n in enumerate(lengths):
            changed = (after[i] != before[i]).any(-1)
            both = min(n, lengths[partner[i]]) if partner[i] != i else 0
            assert not changed[both:].any() and (changed[:both] == changed[:1]).all()
            if both:
                boxes.append(box_of(changed[0]))
                top, left, bottom, right = boxes[-1]
                np.testing.assert_array_equal(
                    after[i, :both, top:bottom, left:right], before[partner[i], :both, top:bottom, left:right]
                )
                areas.append(changed[0].mean())
            kept = 1 - changed[:n].mean() if n else 1.0
            if partner[i] != i:
                wanted = kept * hot[i] + (1 - kept) * hot[partner[i]]
                np.testing.assert_allclose(out.targets["emotion"][i], wanted, atol=1e-6)
                own, other = batch.targets["liking"][i, 0], batch.targets["liking"][partner[i], 0]
                np.testing.assert_allclose(out.targets["liking"][i, 0], kept * own + (1 - kept) * other, atol=1e-6)
        if per == "batch":
            assert len({box for box in boxes if box != (0, 0, 0, 0)}) <= seed + 1
        assert torch.equal(pictures(batch), given)  # not in place
        torch.testing.assert_close(out.targets["emotion"].sum(1), torch.ones(len(lengths)))
    # rows and columns are those of the picture, not of time: boxes reach far below row T
    tops = np.array(boxes)
    assert tops[:, 2].max() == side and tops[:, 3].max() == side and tops[:, :2].min() == 0
    if per == "clip":
        assert (tops[:, 2] - tops[:, 0] > max(lengths)).mean() > 0.3
        assert 0.15 < np.mean(areas) < 0.45


def test_boxes_are_as_large_as_drawn_unless_an_edge_clips_them() -> None:
    side = 20
    batch = faces([1] * 800, side)
    out = augmented(CutMix3D(beta=1.0), batch, 5)
    torch.manual_seed(5)
    torch.randperm(800)
    share = torch.distributions.Beta(1.0, 1.0).sample((800,)).numpy()
    edge = np.floor(side * np.sqrt(1 - share))
    changed = (pictures(out) != pictures(batch)).any(-1)[:, 0].numpy()
    heights, widths = changed.any(2).sum(1), changed.any(1).sum(1)
    moved = changed.any((1, 2))
    assert (heights <= edge).all() and (widths <= edge).all()
    inner = (
        moved & ~changed[:, 0].any(1) & ~changed[:, -1].any(1) & ~changed[:, :, 0].any(1) & ~changed[:, :, -1].any(1)
    )
    assert inner.sum() > 80
    assert (heights[inner] == edge[inner]).all() and (widths[inner] == edge[inner]).all()
    kept = 1 - changed.mean((1, 2))
    assert np.abs(kept - share)[inner].max() < 0.1 and (kept >= share - 1e-6).all()  # clipping only leaves more


def test_what_is_not_known_of_a_partner_is_not_learnt() -> None:
    batch = faces([2, 2, 0, 2], 8)
    known = torch.tensor([True, False, True, True])
    batch.valid["emotion"].copy_(known)
    for seed in range(20):
        out = augmented(CutMix3D(), batch, seed)
        torch.manual_seed(seed)
        partner = torch.randperm(4)
        for i in range(4):
            cut = bool((pictures(out)[i] != pictures(batch)[i]).any())
            assert bool(out.valid["emotion"][i]) == bool(known[i] and (known[partner[i]] or not cut))


@pytest.mark.parametrize("step", [Flip(), Rotation(), CutMix3D()])
def test_only_square_pictures_are_taken(step) -> None:
    for width in (128, 3 * 4 * 5, 25):
        with pytest.raises(ConfigError, match="no square pictures"):
            step(batch_of({"face": [1]}, {"face": torch.rand(1, 1, width)}), [EMOTION])
    with pytest.raises(ConfigError, match="speech"):
        step(spectrograms([3]), [EMOTION])
    for bad in ({"prob": 1.5}, {"degrees": 181.0}, {"fill": "white"}, {"beta": 0.0}, {"per": "frame"}):
        if set(bad) <= set(type(step).__slots__):
            with pytest.raises(ConfigError):
                type(step)(**bad)
