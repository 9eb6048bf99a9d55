"""What the output may and may not be used for: one text, carried by every timeline, report, API answer and card.

Sources: Regulation (EU) 2024/1689 (AI Act), Art. 5(1)(f), in force since 2 February 2025, and Art. 50(3).
"""

__all__ = ["NOTICE", "NOTICE_SHORT"]

NOTICE_SHORT = "These are labels that raters would give to an expression, not what the person feels."

NOTICE = """\
This timeline estimates which label people who watch, hear or read the clip would give to an expression. It does not \
say what a person feels, means or is going to do. People differ, by culture, by situation and from one another, in how \
they show emotion, and the models behind this page carry the biases of the recordings they were trained on.

Made for research and for building and testing methods. Not a medical device, not a lie detector, and not a tool for \
hiring, grading, policing, insurance or any other decision about a person.

In the European Union it is prohibited to infer emotions of people in the workplace or in education from biometric \
data such as face and voice, save for medical or safety reasons (AI Act, Art. 5(1)(f)). Whoever uses an emotion \
recognition system must tell the people who are exposed to it (Art. 50(3)), and must have a lawful ground for \
processing their data.

Persons are numbered within this clip only; nobody is identified, and a number means nothing in another clip."""
