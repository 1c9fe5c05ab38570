import pytest
import torch
from torch.nn import functional

from openecg.stage2.losses import (
    class_weights,
    label_loss,
    offset_loss,
    soft_labels,
    touch_loss,
)

WEIGHTS = torch.tensor([0.5, 1.0, 1.5, 1.0])


def labels(*rows: list[int]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.uint8)


def test_class_weights_follow_the_labels_that_count() -> None:
    counts = [400, 100, 25, 16]
    target = torch.tensor([c for c, n in enumerate(counts) for _ in range(n)] + [255] * 99)
    weights = class_weights(target.to(torch.uint8))
    assert weights.sum().item() == pytest.approx(4)
    assert (weights / weights[0]).tolist() == pytest.approx([1, 2, 4, 5], rel=1e-6)
    with pytest.raises(ValueError, match="found other 2, P 1, QRS 1, T 0"):
        class_weights(labels([0, 0, 1, 2, 255]))


def test_cross_entropy_is_the_weighted_mean_over_the_labels_that_count() -> None:
    logits, target = torch.randn(2, 3, 4), labels([0, 255, 3], [2, 1, 255])
    loss, counted = label_loss(logits, target, WEIGHTS, focal_gamma=0, soft=[])
    plain = torch.nn.CrossEntropyLoss(WEIGHTS, ignore_index=255)
    torch.testing.assert_close(loss / counted, plain(logits.mT, target.long()))
    nothing = label_loss(logits, target.fill_(255), WEIGHTS, focal_gamma=0, soft=[])
    assert [value.item() for value in nothing] == [0, 0]


def test_other_or_p_asks_for_their_sum() -> None:
    logits, target = torch.randn(1, 3, 4, requires_grad=True), labels([254, 1, 255])
    loss, counted = label_loss(logits, target, WEIGHTS, focal_gamma=0, soft=[])
    p = logits[0].softmax(dim=1)
    wanted = -0.5 * (p[0, 0] + p[0, 1]).log() - p[1, 1].log()
    torch.testing.assert_close(loss, wanted)
    assert counted.item() == 1.5
    loss.backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert not soft_labels(target, [0.3])[0, 0].any()


def test_other_or_p_that_is_sure_costs_nothing_with_any_power() -> None:
    logits, target = 3 * torch.randn(1, 20000, 4), torch.full((1, 20000), 254)
    loss, _ = label_loss(logits, target.to(torch.uint8), WEIGHTS, focal_gamma=1.5, soft=[])
    assert loss.isfinite()


def test_the_focal_loss_is_that_of_the_spec() -> None:
    logits, target = torch.randn(1, 3, 4), labels([0, 2, 255])
    loss, counted = label_loss(logits, target, WEIGHTS, focal_gamma=2, soft=[])
    p = logits[0].softmax(dim=1)
    wanted = sum((1 - p[i, c]) ** 2 * -p[i, c].log() * WEIGHTS[c] for i, c in enumerate((0, 2)))
    torch.testing.assert_close(loss / counted, wanted / 2)


def test_soft_labels_mix_the_two_labels_at_a_change_and_nothing_else() -> None:
    mixed = soft_labels(labels([0, 0, 0, 2, 2, 2, 255, 255, 3, 3]), [0.3])[0]
    assert mixed[:, 2].tolist() == pytest.approx([0, 0, 0.3, 0.7, 1, 1, 0, 0, 0, 0], abs=1e-6)
    assert mixed[:, 0].tolist() == pytest.approx([1, 1, 0.7, 0.3, 0, 0, 0, 0, 0, 0], abs=1e-6)
    assert mixed[:, 3].tolist() == pytest.approx([0] * 8 + [1, 1], abs=1e-6)
    wider = soft_labels(labels([0] * 5 + [1] * 5), [0.2, 0.1])[0]
    assert wider[:, 1].tolist() == pytest.approx([0, 0, 0, 0.1, 0.3, 0.7, 0.9, 1, 1, 1], abs=1e-6)


def test_soft_labels_far_from_a_change_cost_what_hard_ones_do() -> None:
    logits, target = torch.randn(1, 6, 4), labels([2] * 6)
    soft, n_soft = label_loss(logits, target, WEIGHTS, focal_gamma=0, soft=[0.3])
    torch.testing.assert_close(soft / n_soft, functional.cross_entropy(logits[0], target[0].long()))


def test_the_offset_loss_is_the_mean_error_of_known_distances() -> None:
    wanted = torch.tensor([[[1.0, torch.nan, -2.0]]])
    offsets = torch.tensor([[[3.0, 7.0, -2.5]]], requires_grad=True)
    loss, counted = offset_loss(offsets, wanted)
    assert (loss.item(), counted.item()) == (2.5, 2)
    loss.backward()
    assert offsets.grad is not None
    assert offsets.grad.tolist() == [[[1, 0, -1]]]


def test_only_waves_that_touch_another_wave_are_punished() -> None:
    def sure(*classes: int) -> torch.Tensor:
        return 40.0 * functional.one_hot(torch.tensor([classes]), 4).float()

    target = labels([0, 0, 0, 255])
    for classes, punished in (((1, 1, 0, 3), 0), ((1, 2, 0, 0), 1), ((1, 2, 3, 1), 2)):
        loss, counted = touch_loss(sure(*classes), target)
        assert loss.item() == pytest.approx(punished, abs=1e-5)
        assert counted.item() == 2
