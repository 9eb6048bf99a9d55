"""The corpus: facts, and its reader."""

from merkit.corpora.corpus import Corpus
from merkit.corpora.merc2020.names import CODES
from merkit.corpora.merc2020.tree import read_tree

__all__ = ["MERC2020"]

MERC2020 = Corpus(
    name="merc2020",
    title="MERC2020 / QIA2020: Multimodal Emotion Recognition Challenge (KAIST)",
    licence="closed data of the challenge, by agreement with its organisers; no redistribution",
    obtain="https://sites.google.com/view/merc2020 (KAIST, QIA); agreement with the organisers, who give the clips, the word "
    "vectors and the submission templates",
    citation="MERC2020 challenge, KAIST 2020. The system: https://github.com/SeongwoongCho/Multimodal-Emotional-Recognition",
    tree="""\
ROOT/qia2020/{train,val}/<id>-…-<integrated>-<face>-<speech>.mp4   the last three fields are labels: hap ang dis fea sad neu sur
     qia2020/test/<id>-….mp4                                        phases 1 and 2, without labels
     2020-3/test3/<id>-….mp4                                        phase 3; also known as test_merc/
     …/<id>.npz                                                     beside the clips: word_embed (words up to 38, 200)
     features/{test1,test2,test3}.csv                               submission templates with the column FileID""",
    modalities=("face", "speech", "text"),
    labels=f"emotion (of those who saw and heard it), face_emotion, speech_emotion: each one of 7, {', '.join(CODES.values())}",
    split="official: train, val (valid), test; the group `phase` of a test clip is test1, test2 or test3",
    people="Korean actors, who act an emotion; who they are is not given, so a split by person is not possible.",
    reader=read_tree,
    notes=(
        "About 44,000 training clips. `merkit prepare merc2020` decodes each once: log-mel columns, pictures of one face, words.",
        "A clip of which only the words can be read is kept, with the words; what was lost is in rejected.csv.",
        "Words come as vectors (word2vec, 200 wide), not as words: for `merkit extract` the clips have no text.",
        "Labels of the test phases were never published; `merkit predict --submission` fills in the templates.",
        "Persons are not named, so speakers of train may be in val too: figures on valid say nothing about new persons.",
    ),
)
