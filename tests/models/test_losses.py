"""Losses against loops in float64 and against torch, torchmetrics and scikit-learn, and what must hold for all of them."""

import itertools

import numpy as np
import pytest
import torch
from scipy.special import expit, log_softmax, softmax
from scipy.stats import entropy
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional as F
from torchmetrics.functional.classification import multiclass_f1_score
from torchmetrics.functional.regression import concordance_corrcoef, pearson_corrcoef

from merkit.data import TargetColumn
from merkit.errors import ConfigError
from merkit.models.losses import LOSSES, build_loss
from merkit.schema import TargetSpec

K = 4
LABELS = tuple("abcd")
CASES = [(name, kind) for name, kinds in LOSSES.items() for kind in kinds]


def spec(kind: str, per_entity: bool = False) -> TargetSpec:
    return TargetSpec("t", kind, LABELS, per_entity)


def problem(kind: str, rows: int = 12, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits, targets, validity with holes, weights."""
    rng = np.random.default_rng(seed)
    logit = rng.normal(size=(rows, K)) * 2
    valid = rng.random((rows, K)) < 0.7
    if kind == "single_label":
        target, valid = rng.integers(0, K, rows), valid[:, 0]
    elif kind == "soft_label":
        target, valid = rng.dirichlet(np.ones(K) / 2, rows), np.repeat(valid[:, :1], K, 1)
    elif kind == "multi_label":
        target = (rng.random((rows, K)) < 0.4).astype(float)
    else:
        target = rng.normal(size=(rows, K))
    as_float = target if kind == "single_label" else target.astype(np.float32)
    weight = rng.uniform(0.2, 2, rows).astype(np.float32)
    return tuple(map(torch.from_numpy, (logit.astype(np.float32), as_float, valid, weight)))


def one_hot(target: torch.Tensor) -> np.ndarray:
    return np.eye(K)[target.numpy()] if not target.is_floating_point() else target.numpy().astype(np.float64)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_what_is_unknown_moves_neither_the_loss_nor_a_gradient(name: str, kind: str) -> None:
    logit, target, valid, weight = problem(kind)
    loss = build_loss(spec(kind), name)
    hole = ~valid if valid.ndim == logit.ndim else ~valid[:, None].expand_as(logit)
    spoilt_logit = logit.masked_fill(hole, 1e4).requires_grad_()
    gone = {"single_label": -100}.get(kind, float("nan"))
    spoilt_target = target.masked_fill(~valid, gone)
    want = loss(logit, target, valid, weight)
    got = loss(spoilt_logit, spoilt_target, valid, weight)
    torch.testing.assert_close(got, want)
    got.backward()
    assert not spoilt_logit.grad[hole].any() and torch.isfinite(spoilt_logit.grad).all()


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_a_row_of_weight_two_counts_as_two_rows_and_of_weight_zero_as_none(name: str, kind: str) -> None:
    logit, target, valid, _ = problem(kind)
    loss = build_loss(spec(kind), name)
    weight = torch.ones(len(logit))
    weight[2], weight[5] = 2.0, 0.0
    rows = torch.tensor([0, 1, 2, 2, 3, 4, *range(6, len(logit))])
    torch.testing.assert_close(loss(logit, target, valid, weight), loss(logit[rows], target[rows], valid[rows]))


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_a_batch_of_which_nothing_is_known_gives_zero_with_a_gradient(name: str, kind: str) -> None:
    logit, target, valid, weight = problem(kind)
    logit.requires_grad_()
    loss = build_loss(spec(kind), name)(logit, target, torch.zeros_like(valid), weight)
    loss.backward()
    assert loss.item() == 0.0 and torch.equal(logit.grad, torch.zeros_like(logit))


@pytest.mark.parametrize("size", [1e4, -1e4, 80.0, -80.0])
@pytest.mark.parametrize(("name", "kind"), CASES)
def test_gradients_stay_finite_at_extreme_logits(name: str, kind: str, size: float) -> None:
    _, target, valid, weight = problem(kind)
    logit = torch.zeros(len(target), K)
    logit[:, 0], logit[::2, 1] = size, -size
    logit.requires_grad_()
    params = [{}] if name != "focal" else [{"gamma": gamma} for gamma in (0.0, 0.5, 2.0)]
    for param in params:
        logit.grad = None
        loss = build_loss(spec(kind), name, **param)(logit, target, valid, weight)
        loss.backward()
        assert torch.isfinite(loss) and torch.isfinite(logit.grad).all()


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_answers_per_entity_are_rows_like_any_other(name: str, kind: str) -> None:
    logit, target, valid, _ = problem(kind)
    weight = torch.tensor([1.0, 0.5, 2.0])
    loss = build_loss(spec(kind, per_entity=True), name)
    folded = loss(logit.unflatten(0, (3, 4)), target.unflatten(0, (3, 4)), valid.unflatten(0, (3, 4)), weight)
    torch.testing.assert_close(folded, loss(logit, target, valid, weight.repeat_interleave(4)))


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_gradients_are_those_of_finite_differences(name: str, kind: str) -> None:
    logit, target, valid, weight = problem(kind, rows=5, seed=4)
    target = target.double() if target.is_floating_point() else target
    loss = build_loss(spec(kind), name).double()
    assert torch.autograd.gradcheck(lambda x: loss(x, target, valid, weight.double()), logit.double().requires_grad_())


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("class_weight", ["none", [0.5, 1.0, 2.0, 4.0]])
def test_cross_entropy_on_indices_is_that_of_torch(smoothing: float, class_weight) -> None:
    logit, target, valid, _ = problem("single_label")
    loss = build_loss(spec("single_label"), smoothing=smoothing, class_weight=class_weight)
    weight = None if class_weight == "none" else torch.tensor(class_weight)
    want = F.cross_entropy(logit[valid], target[valid], weight=weight, label_smoothing=smoothing)
    torch.testing.assert_close(loss(logit, target, valid), want)


WEIGHTS = [0.5, 1.0, 2.0, 4.0]


@pytest.mark.parametrize(
    ("name", "params"),
    [
        *((name, {}) for name in ("cross_entropy", "focal", "kl", "dice")),
        *((name, {"class_weight": WEIGHTS}) for name in ("cross_entropy", "focal")),
        ("cross_entropy", {"class_weight": WEIGHTS, "smoothing": 0.2}),
    ],
)
def test_an_index_and_its_one_hot_distribution_give_the_same_loss(name: str, params: dict) -> None:
    logit, target, valid, weight = problem("single_label")
    loss = build_loss(spec("single_label"), name, **params)
    soft = F.one_hot(target, K).float()
    torch.testing.assert_close(loss(logit, soft, valid, weight), loss(logit, target, valid, weight))


def test_soft_cross_entropy_and_kl_are_sums_over_the_distribution() -> None:
    logit, target, valid, weight = problem("soft_label")
    log_prob = log_softmax(logit.numpy().astype(np.float64), -1)
    known, w = valid.all(-1).numpy(), weight.numpy().astype(np.float64)
    y = target.numpy().astype(np.float64)
    cross = -(y * log_prob).sum(-1)
    kl = np.array([entropy(truth, np.exp(answer)) for truth, answer in zip(y, log_prob, strict=True)])
    for name, rows in (("auto", cross), ("kl", kl)):
        want = (rows * w)[known].sum() / w[known].sum()
        assert build_loss(spec("soft_label"), name)(logit, target, valid, weight).item() == pytest.approx(
            want, rel=1e-5
        )


@pytest.mark.parametrize("kind", ["single_label", "soft_label"])
@pytest.mark.parametrize("class_weight", ["none", [0.5, 1.0, 2.0, 4.0]])
def test_focal_without_focus_is_cross_entropy(kind: str, class_weight) -> None:
    logit, target, valid, weight = problem(kind)
    focal = build_loss(spec(kind), "focal", gamma=0.0, class_weight=class_weight)
    cross = build_loss(spec(kind), "cross_entropy", class_weight=class_weight)
    torch.testing.assert_close(focal(logit, target, valid, weight), cross(logit, target, valid, weight))


def test_focal_weighs_each_row_by_itself() -> None:
    """The published form takes the mean cross entropy of the batch first: a loop over rows tells the two apart."""
    logit, target, valid, _ = problem("single_label")
    prob = softmax(logit.numpy().astype(np.float64), -1)
    rows = [-((1 - p[y]) ** 2) * np.log(p[y]) for p, y, ok in zip(prob, target, valid, strict=True) if ok]
    assert build_loss(spec("single_label"), "focal")(logit, target, valid).item() == pytest.approx(
        np.mean(rows), rel=1e-5
    )


@pytest.mark.parametrize(("gamma", "alpha"), [(2.0, None), (1.5, 0.25), (0.0, None)])
def test_focal_on_labels_is_a_loop_over_entries(gamma: float, alpha: float | None) -> None:
    logit, target, valid, _ = problem("multi_label")
    entries = []
    for x, y in zip(logit[valid].double().numpy(), target[valid].numpy(), strict=True):
        p = expit(x) if y else 1 - expit(x)
        a = 1.0 if alpha is None else (alpha if y else 1 - alpha)
        entries.append(-a * (1 - p) ** gamma * np.log(p))
    loss = build_loss(spec("multi_label"), "focal", gamma=gamma, alpha=alpha)
    assert loss(logit, target, valid).item() == pytest.approx(np.mean(entries), rel=1e-5)


def test_bce_with_positive_weights_is_that_of_torch_on_known_entries() -> None:
    logit, target, valid, _ = problem("multi_label")
    pos = torch.tensor([0.5, 1.0, 3.0, 9.0])
    want = F.binary_cross_entropy_with_logits(logit, target, pos_weight=pos, reduction="none")[valid].mean()
    torch.testing.assert_close(build_loss(spec("multi_label"), pos_weight=pos.tolist())(logit, target, valid), want)


def test_soft_margin_is_that_of_torch_where_all_is_known_and_a_mean_of_row_means_elsewhere() -> None:
    logit, target, valid, _ = problem("multi_label")
    loss = build_loss(spec("multi_label"), "multilabel_soft_margin")
    torch.testing.assert_close(
        loss(logit, target, torch.ones_like(valid)), F.multilabel_soft_margin_loss(logit, target)
    )
    bce = F.binary_cross_entropy_with_logits(logit, target, reduction="none")
    rows = [row[ok].mean() for row, ok in zip(bce, valid, strict=True) if ok.any()]
    torch.testing.assert_close(loss(logit, target, valid), torch.stack(rows).mean())


def test_errors_are_means_over_known_entries() -> None:
    value, target, valid, _ = problem("regression")
    for name, want in (
        ("l1", F.l1_loss(value[valid], target[valid])),
        ("mse", F.mse_loss(value[valid], target[valid])),
    ):
        torch.testing.assert_close(build_loss(spec("regression"), name)(value, target, valid), want)


def test_ccc_is_one_minus_concordance_of_each_dimension() -> None:
    value, target, valid, _ = problem("regression", rows=40)
    target = target + value
    ccc = []
    for k in range(K):
        x, y = (a[valid[:, k], k].double().numpy() for a in (value, target))
        ccc.append(2 * np.cov(x, y, bias=True)[0, 1] / (x.var() + y.var() + (x.mean() - y.mean()) ** 2))
    loss = build_loss(spec("regression"), "ccc")
    assert loss(value, target, valid).item() == pytest.approx(1 - np.mean(ccc), rel=1e-5)
    known = torch.ones_like(valid)
    # torchmetrics divides variances by n - 1 but squares the same difference of means: equal where means are equal
    even = target - target.mean(0) + value.mean(0)
    torch.testing.assert_close(loss(value, even, known), 1 - concordance_corrcoef(value, even).mean())
    line = value * 3 + 1
    assert loss(line, value, known) > 0.1 and (1 - pearson_corrcoef(line, value)).abs().max() < 1e-5


def test_ccc_of_what_does_not_vary_is_one_and_of_single_entries_left_out() -> None:
    value, known = torch.full((3, K), 2.0, requires_grad=True), torch.ones(3, K, dtype=torch.bool)
    loss = build_loss(spec("regression"), "ccc")(value, torch.ones(3, K), known)
    loss.backward()
    assert loss.item() == pytest.approx(1.0) and torch.isfinite(value.grad).all()
    known[1:, 0] = False
    other = build_loss(spec("regression"), "ccc")
    values, target = torch.randn(3, K), torch.randn(3, K)
    torch.testing.assert_close(other(values, target, known), other(values[:, 1:], target[:, 1:], known[:, 1:]))


@pytest.mark.parametrize("kind", ["single_label", "soft_label", "multi_label"])
def test_dice_is_a_loop_over_classes_that_are_there(kind: str) -> None:
    logit, target, valid, _ = problem(kind, rows=6)
    x = logit.numpy().astype(np.float64)
    p = expit(x) if kind == "multi_label" else softmax(x, -1)
    y = one_hot(target)
    ok = valid.numpy() if valid.ndim == 2 else np.repeat(valid.numpy()[:, None], K, 1)
    scores = []
    for k in range(K):
        pk, yk = p[ok[:, k], k], y[ok[:, k], k]
        if yk.sum() == 0:
            continue
        tp, fp, fn = (pk * yk).sum(), (pk * (1 - yk)).sum(), ((1 - pk) * yk).sum()
        scores.append(2 * tp / (2 * tp + fp + fn))
    assert build_loss(spec(kind), "dice")(logit, target, valid).item() == pytest.approx(1 - np.mean(scores), rel=1e-5)


def test_dice_lies_in_zero_and_one_and_a_sure_answer_makes_it_one_minus_f1() -> None:
    logit, target, valid, _ = problem("single_label", rows=60)
    valid = torch.ones_like(valid)
    dice = build_loss(spec("single_label"), "dice")
    assert 0 < dice(logit, target, valid) < 1
    sure = F.one_hot(logit.argmax(-1), K) * 1e3
    f1 = multiclass_f1_score(logit, target, num_classes=K, average="macro")
    torch.testing.assert_close(dice(sure, target, valid), 1 - f1, atol=1e-6, rtol=1e-6)
    assert dice(F.one_hot(target, K) * 1e3, target, valid).item() == pytest.approx(0.0, abs=1e-6)
    assert dice(F.one_hot((target + 1) % K, K) * 1e3, target, valid).item() == pytest.approx(1.0)


def test_running_dice_keeps_counts_of_rare_classes_and_forgets_them_slowly() -> None:
    loss = build_loss(spec("single_label"), "dice", momentum=0.5)
    known = torch.ones(2, dtype=torch.bool)
    first, second = torch.randn(2, K), torch.randn(2, K, requires_grad=True)
    truth = torch.tensor([0, 1]), torch.tensor([1, 1])
    loss(first, truth[0], known)
    got = loss(second, truth[1], known)
    p, q = first.softmax(-1).double().numpy(), second.detach().softmax(-1).double().numpy()
    y, z = np.eye(K)[truth[0]], np.eye(K)[truth[1]]
    overlap = 0.5 * (p * y).sum(0) + (q * z).sum(0)
    mass = 0.5 * (p + y).sum(0) + (q + z).sum(0)
    assert got.item() == pytest.approx(1 - np.mean((2 * overlap / mass)[:2]), rel=1e-5)
    got.backward()
    assert second.grad[:, 0].abs().sum() > 0  # class 0 is not in this batch, its running count still pushes
    kept = loss.running.clone()
    loss.eval()(first, truth[0], known)
    assert torch.equal(loss.running, kept)
    # what training counted is no answer to what a valid batch is asked
    fresh = build_loss(spec("single_label"), "dice")
    assert loss(first, truth[0], known).item() == pytest.approx(fresh(first, truth[0], known).item())
    assert "running" in loss.state_dict()


@pytest.mark.parametrize(("how", "power"), [("balanced", 1.0), ("root", 0.5)])
def test_balanced_weights_are_those_of_scikit_learn(how: str, power: float) -> None:
    rng = np.random.default_rng(0)
    value, valid = rng.choice(K, 200, p=[0.6, 0.2, 0.15, 0.05]), rng.random(200) < 0.8
    loss = build_loss(spec("single_label"), column=TargetColumn(spec("single_label"), value, valid), class_weight=how)
    want = compute_class_weight("balanced", classes=np.arange(K), y=value[valid])
    np.testing.assert_allclose(loss.class_weight.numpy(), want**power, rtol=1e-6)


def test_auto_positive_weight_counts_known_entries_and_survives_labels_that_are_never_or_always_on() -> None:
    value = np.array([[1, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, 0], [1, 0, 1, 0]], np.float32)
    valid = np.array([[1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1], [0, 1, 1, 1]], bool)
    loss = build_loss(spec("multi_label"), column=TargetColumn(spec("multi_label"), value, valid), pos_weight="auto")
    assert loss.pos_weight.tolist() == [2.0, 1.0, 1.0, 1.0]


def test_a_weighted_sum_is_the_sum_of_its_parts() -> None:
    logit, target, valid, weight = problem("single_label")
    both = build_loss(spec("single_label"), "0.7*focal + 0.3 * dice", gamma=1.0, momentum=0.0)
    parts = [build_loss(spec("single_label"), "focal", gamma=1.0), build_loss(spec("single_label"), "dice")]
    want = sum(f * part(logit, target, valid, weight) for f, part in zip((0.7, 0.3), parts, strict=True))
    torch.testing.assert_close(both(logit, target, valid, weight), want)


@pytest.mark.parametrize(
    ("kind", "name", "params", "says"),
    [
        ("single_label", "bce", {}, "cross_entropy"),
        ("regression", "huber", {}, "ccc"),
        ("single_label", "focal", {"gama": 1.0}, "gamma"),
        ("single_label", "x*focal", {}, "factor"),
        ("single_label", "cross_entropy", {"class_weight": "balanced"}, "training column"),
        ("single_label", "cross_entropy", {"class_weight": [1.0]}, "4 numbers"),
        ("multi_label", "bce", {"pos_weight": "auto"}, "training column"),
        (
            "single_label",
            "dice",
            {"smoothing": 0.1, "class_weight": "root"},
            "'class_weight', 'smoothing'; it takes momentum .*loss_params={}",
        ),
    ],
)
def test_a_wrong_loss_is_refused_in_words(kind: str, name: str, params: dict, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        build_loss(spec(kind), name, **params)


def test_every_kind_of_target_has_an_auto_loss() -> None:
    for kind, seed in itertools.product(("single_label", "soft_label", "multi_label", "regression"), range(2)):
        logit, target, valid, weight = problem(kind, seed=seed)
        assert build_loss(spec(kind))(logit, target, valid, weight) > 0
