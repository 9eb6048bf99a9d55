"""The corpus: facts, and its reader."""

from merkit.corpora.corpus import Corpus, KnownBad
from merkit.corpora.meld.tree import KNOWN_BAD, VIDEO, read_tree
from merkit.labels import EKMAN7, MELD_SENTIMENT3

__all__ = ["MELD"]

_PUBLISHED = {"train": "train", "valid": "dev", "test": "test"}

MELD = Corpus(
    name="meld",
    title="MELD: Multimodal EmotionLines Dataset",
    licence="annotations GPL-3.0; the clips are excerpts of a television series, for research only",
    obtain="https://affective-meld.github.io (MELD.Raw.tar.gz, with train, dev and test archives inside), all unpacked; or "
    "`merkit prepare meld --kaggle zaber666/meld-dataset --subdir MELD-RAW/MELD.Raw`",
    citation="S. Poria et al. ACL 2019. arXiv:1810.02508",
    tree="""\
ROOT/[train/]train_sent_emo.csv    ROOT/[train/]train_splits/dia0_utt0.mp4
ROOT/[dev/]dev_sent_emo.csv        ROOT/[dev/]dev_splits_complete/dia0_utt0.mp4
ROOT/[test/]test_sent_emo.csv      ROOT/[test/]output_repeated_splits_test/dia0_utt0.mp4
Deeper is as well (MELD-RAW/MELD.Raw/…), and dia0_utt0.wav in place of .mp4, as long as a folder names the part: train, dev
or test. The tables alone give a corpus of words.""",
    modalities=("text", "face", "scene", "speech"),
    labels="emotion, one of 7: " + ", ".join(EKMAN7.labels) + "; sentiment: " + ", ".join(MELD_SENTIMENT3.labels),
    split="official: train 9,989 utterances, dev 1,109 (valid), test 2,610",
    people="actors in their roles; three raters saw the clips. The same characters are in all three parts.",
    reader=read_tree,
    known_bad=tuple(
        KnownBad(f"{_PUBLISHED[split]} dia{dialogue}_utt{utterance}", why, VIDEO)
        for (split, dialogue, utterance), why in KNOWN_BAD.items()
    ),
    notes=(
        "The official parts share their speakers; only dialogues are kept together.",
        "Published weighted F1 ranges from 57 to 70; state split and metric.",
    ),
)
