import math
from typing import Any

import pytest
import torch

from openecg.stage2.encoder import sinusoids
from openecg.stage2.vit import build

MODEL: dict[str, Any] = {
    **{"d_model": 128, "layers": 8, "heads": 4, "feed_forward": 256, "dropout": 0.1},
    **{"lead_embedding": False, "positions": "learnt", "stem": False, "offsets": False},
}
SMALL = MODEL | {"d_model": 8, "layers": 1}


@pytest.mark.parametrize(
    "change", [{}, {"stem": True}, {"positions": "sinusoidal"}, {"lead_embedding": True}]
)
def test_2500_samples_give_500_labels_and_offsets_if_asked(change: dict[str, Any]) -> None:
    for offsets in (False, True):
        network = build(**(SMALL | change | {"offsets": offsets}))
        out = network(torch.randn(2, 3, 2500), torch.zeros(2, 3, dtype=torch.int64))
        assert out.logits.shape == (2, 3, 500, 4)
        assert (out.offsets.shape == (2, 3, 500, 6)) if offsets else out.offsets is None


def test_a_patch_holds_five_samples_and_its_place_counts() -> None:
    torch.manual_seed(0)
    network = build(**SMALL).eval()
    signal, lead = torch.randn(1, 1, 200), torch.zeros(1, 1, dtype=torch.int64)
    seen = []
    network.patch.register_forward_hook(lambda m, i, o: seen.append(i[0]))
    network(signal, lead)
    assert torch.equal(seen[0], signal[0].view(1, 40, 5))
    moved = network(signal.roll(5, dims=2), lead).logits
    assert not torch.allclose(moved.roll(-1, dims=2), network(signal, lead).logits, atol=1e-3)


def test_leads_do_not_influence_each_other() -> None:
    torch.manual_seed(0)
    network = build(**SMALL).eval()
    signal, leads = torch.randn(2, 3, 200), torch.zeros(2, 3, dtype=torch.int64)
    alone = network(signal[1:, 2:], leads[1:, 2:]).logits
    torch.testing.assert_close(network(signal, leads).logits[1:, 2:], alone)


def test_the_fixed_encoding_is_that_of_the_paper() -> None:
    table = sinusoids(10, 4)
    wanted = [math.sin(3), math.cos(3), math.sin(0.03), math.cos(0.03)]
    assert table[3].tolist() == pytest.approx(wanted, abs=1e-6)
