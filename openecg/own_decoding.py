"""Which of the systems of a setting speaks for it, where many ways of decoding it are scored."""

from collections.abc import Iterable


def by_own_decoding(systems: Iterable[str]) -> list[str]:
    """Pick for each setting the system that is decoded as the setting says.

    Parameters
    ----------
    systems : iterable of str
        ``SETTING`` or ``SETTING+DECODING``; may repeat.

    Returns
    -------
    list of str
        One for each setting, in the order in which settings come: ``SETTING``, or the first of its
        systems where it is not among them.
    """
    picked: dict[str, str] = {}
    for system in systems:
        setting, plus, _ = system.partition("+")
        if not plus or setting not in picked:
            picked[setting] = system
    return list(picked.values())
