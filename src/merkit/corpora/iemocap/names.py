"""What the name of a turn says: session, dialogue, scenario, speaker, and where in the picture the speaker is."""

import re
from dataclasses import dataclass
from typing import Literal

from merkit.errors import MediaError

__all__ = ["TurnName"]

_NAME = re.compile(r"(Ses0([1-5])([FM])_((?:impro|script)[0-9]{2}[0-9a-z_]*))_([FM])(?:[0-9]{3,4}|XX[0-9]{1,3})")


@dataclass(frozen=True, slots=True)
class TurnName:
    """The name of a turn, taken apart.

    Args:
        dialogue: e.g. `Ses01F_impro01`.
        session: `Ses01` … `Ses05`: a pair of actors.
        scenario: which improvisation or scene of the scripts, e.g. `impro01`, `script01_1`; every session played them all.
        speaker: `Ses01F` or `Ses01M`: the actor who speaks. The letter in the dialogue's name says something else.
        side: half of the picture that the speaker is in, as viewers see it. The actor who wore markers, whom the
            letter in the dialogue's name tells, is in the left one (stated by two public preparations of the corpus;
            the release does not write it down).

    Example:
        >>> name = TurnName.of("Ses03F_script01_2_M017")
        >>> name.dialogue, name.session, name.scenario, name.speaker, name.side
        ('Ses03F_script01_2', 'Ses03', 'script01_2', 'Ses03M', 'right')
    """

    dialogue: str
    session: str
    scenario: str
    speaker: str
    side: Literal["left", "right"]

    @classmethod
    def of(cls, turn: str) -> "TurnName":
        """Takes a name apart.

        Raises:
            MediaError: it is none.
        """
        found = _NAME.fullmatch(turn)
        if found is None:
            raise MediaError(f"the name {turn[:80]!r} is not like Ses01F_impro01_F000", field="TURN_NAME")
        dialogue, number, marked, scenario, speaker = found.groups()
        session = f"Ses0{number}"
        return cls(dialogue, session, scenario, session + speaker, "left" if speaker == marked else "right")
