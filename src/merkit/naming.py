"""Names that a config gives to something of its data: a misspelt one would otherwise do nothing, and nobody would see."""

from collections.abc import Iterable
from difflib import get_close_matches

from merkit.errors import ConfigError

__all__ = ["check_names"]


def check_names(key: str, given: Iterable[str], known: Iterable[str], *, partly: bool = False) -> None:
    """Nothing, where every given name is a known one.

    Args:
        key: of the config, for messages.
        given: its names.
        known: what there is.
        partly: there is more than `known` (a part of the data was asked for), so only a name that looks like one that is
            known and was not given is refused.

    Raises:
        ConfigError: names the key, the name, the likeliest one and all that are known.

    Example:
        >>> check_names("objective.losses", ["emotion"], ["sentiment", "emotion"])
        >>> check_names("objective.losses", ["emotoin"], ["sentiment", "emotion"])
        Traceback (most recent call last):
        ...
        merkit.errors.ConfigError: objective.losses: no emotoin; did you mean emotion? There are sentiment, emotion
        >>> check_names("objective.losses", ["arousal"], ["sentiment", "emotion"], partly=True)
    """
    given, known = list(given), list(known)
    for name in given:
        if name in known:
            continue
        near = get_close_matches(name, [each for each in known if each not in given], 1)
        if partly and not near:
            continue
        hint = f"; did you mean {near[0]}?" if near else "."
        raise ConfigError(f"{key}: no {name}{hint} There are {', '.join(known) or 'none'}")
