"""KEMDy19 and KEMDy20 as one corpus, as the tensor mixer's authors trained on them: fold k of one with fold k of the other."""

import os
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from merkit.corpora.corpus import Corpus, Found
from merkit.corpora.kemdy.about import FACTS19, FACTS20
from merkit.corpora.kemdy.corpus import read_release
from merkit.corpora.kemdy.names import SESSIONS
from merkit.corpora.kemdy.options import Options
from merkit.corpora.paths import Root
from merkit.errors import ConfigError
from merkit.schema import Clip

__all__ = ["KEMDY", "both_with_options"]


def both_with_options(options: Options) -> Corpus:
    """Both corpora, prepared in this way.

    Raises:
        ConfigError: listeners are asked about, whom KEMDy20 does not know.
    """
    if options.view == "listener":
        raise ConfigError("kemdy20 asks about the speaker alone; prepare kemdy19 for listeners")
    return replace(KEMDY, reader=partial(_read, options=options))


def _read(root: Root, out: Path | None, options: Options | None = None) -> Found:
    if out is None:
        raise ConfigError("kemdy is converted once: use `merkit prepare kemdy --root … --out …`")
    parts = {corpus: read_release(root, out / corpus, corpus, options) for corpus in SESSIONS}
    if empty := [corpus for corpus, found in parts.items() if not found.clips]:
        raise ConfigError(
            f"{root.path}: no usable clip of {' and '.join(empty)}; prepare the other one by its own name"
        )
    clips = [_named(corpus, clip) for corpus, found in parts.items() for clip in found.clips]
    rejected = [
        replace(each, item=f"{corpus}: {each.item}") for corpus, found in parts.items() for each in found.rejected
    ]
    specs = tuple(dict.fromkeys(spec for found in parts.values() for spec in found.specs))
    facts = _facts({corpus: found.facts for corpus, found in parts.items()})
    base = Path(os.path.commonpath([str(found.root) for found in parts.values()]))
    return Found(clips, specs, rejected, facts, base)


def _named(corpus: str, clip: Clip) -> Clip:
    """Sessions, scripts and speakers of the two have the same names; ids differ, and folds are meant to be one."""
    groups = {kind: name if kind == "fold" else f"{corpus}/{name}" for kind, name in clip.groups.items()}
    return replace(clip, groups={**groups, "corpus": corpus})


def _facts(facts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    folds: dict[str, list[str]] = {}
    for corpus, each in facts.items():
        for fold, sessions in each["folds"].items():
            folds.setdefault(fold, []).extend(f"{corpus}/{session}" for session in sessions)
    return {
        "view": "speaker",
        "folds": dict(sorted(folds.items())),
        "ties": sum(each["ties"] for each in facts.values()),
        "votes_differ_from_total": [item for each in facts.values() for item in each["votes_differ_from_total"]],
        # the raters of the two are other people under the same titles
        "agreement": {f"{c}_{name}": value for c, each in facts.items() for name, value in each["agreement"].items()},
        "physiology": {
            kind: sum(each["physiology"][kind] for each in facts.values()) for kind in facts["kemdy19"]["physiology"]
        },
        "merged_csv": [f"{corpus}/{each['merged_csv']}" for corpus, each in facts.items()],
    }


KEMDY = Corpus(
    name="kemdy",
    title="KEMDy19 and KEMDy20 together",
    licence=FACTS19["licence"],
    obtain=f"{FACTS19['obtain']}; {FACTS20['obtain']}",
    citation=f"{FACTS19['citation']}; {FACTS20['citation']}",
    tree="ROOT/KEMDy19, ROOT/KEMDy20_v1_1, each as `merkit corpora kemdy19` and `merkit corpora kemdy20` show it",
    modalities=FACTS19["modalities"],
    labels=FACTS19["labels"] + " (KEMDy19 alone)",
    split=FACTS19["split"],
    people=f"{FACTS19['people']} {FACTS20['people']}",
    reader=_read,
    known_bad=FACTS19["known_bad"],
    notes=(
        *FACTS19["notes"],
        "Acted and free talk are other tasks: look at the figures of each (group `corpus`) as well.",
    ),
    derives=True,
)
