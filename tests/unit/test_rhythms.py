import pyarrow as pa

from openecg.rhythms import has_p_waves


def test_rhythms_of_the_sinus_node_have_p_waves_and_nothing_is_said_of_others() -> None:
    rhythms = ["Sinus rhythm", "Irregular sinus rhythm", "Atrial fibrillation", ""]
    assert has_p_waves(pa.chunked_array([rhythms[:1], rhythms[1:]])).tolist() == [
        *[True, True],
        *[False, False],
    ]
