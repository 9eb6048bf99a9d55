"""Turns of a dialogue name the turns around them."""

from collections.abc import Iterable
from dataclasses import replace

from merkit.schema import Clip

__all__ = ["with_context"]

# A film that is one dialogue of thousands of turns would otherwise name millions.
_NEAREST = 100


def with_context(clips: Iterable[Clip]) -> tuple[Clip, ...]:
    """The same clips, each with the ids of the turns before and after it in its dialogue, at most 100 on either side.

    Turns are ordered by `turn`; clips without one keep the order they came in, after those that have one.

    Example:
        >>> a, b = with_context([Clip("a", (), groups={"dialogue": "1"}, turn=1),
        ...                      Clip("b", (), groups={"dialogue": "1"}, turn=0)])
        >>> a.context, b.context
        (('b',), ('a',))
    """
    clips = tuple(clips)
    dialogues: dict[str, list[int]] = {}
    for i, clip in enumerate(clips):
        if "dialogue" in clip.groups:
            dialogues.setdefault(clip.groups["dialogue"], []).append(i)
    context: dict[int, tuple[str, ...]] = {}
    for members in dialogues.values():
        members.sort(key=lambda i: (clips[i].turn is None, clips[i].turn or 0))
        names = [clips[i].id for i in members]
        for place, i in enumerate(members):
            around = names[max(0, place - _NEAREST) : place] + names[place + 1 : place + 1 + _NEAREST]
            context[i] = tuple(around)
    return tuple(replace(clip, context=context[i]) if i in context else clip for i, clip in enumerate(clips))
