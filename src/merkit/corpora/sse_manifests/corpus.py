"""The corpora of the published lists, one for each set, and one for the split that leaks."""

from dataclasses import replace
from functools import partial

from merkit.corpora.corpus import Corpus
from merkit.corpora.sse_manifests.reader import read_set
from merkit.corpora.sse_manifests.sets import SETS

__all__ = ["SSE_MANIFESTS"]

_TREE = """\
ROOT/[T_data/]FOLDER/train_a.tsv, train_t.tsv, train_v.tsv, label_file_train.csv; the same of valid, test (FOLDER: {folder})
ROOT/…/{stem}.wav, {stem}.txt, {stem}.mp4    anywhere below; BERT-like's {stem}.txt of sounds in a folder named audio_token
ROOT/tokenizer.json                          optional: RoBERTa's, which turns the numbers of the .txt into words
Where a name is there twice, the file in a folder called train, valid or test is taken for that split."""
_NOTES = (
    "The first line of SSE-FT's lists is a folder on their authors' machine; it is passed over.",
    "The .txt of the authors hold RoBERTa's numbers instead of words. They are kept in token_ids.parquet; words come of them "
    "where ROOT holds RoBERTa's tokenizer.json. A .txt with words in it is taken as words.",
    "Sounds as .pt are not read: give the .wav.",
)
_LEAK = (
    "SSE-FT's valid list (518 clips) lies within its test list; BERT-like's valid list (1,029) within its train list."
)


def _corpus(of: str, title: str, licence: str, stem: str, labels: str, split: str, people: str, *notes: str) -> Corpus:
    return Corpus(
        name=f"sse-ft-{of}",
        title=f"{title}, as listed by SSE-FT and BERT-like",
        licence=licence,
        obtain="the lists: T_data of https://github.com/shamanez/Self-Supervised-Embedding-Fusion-Transformer or "
        "https://github.com/shamanez/BERT-like-is-All-You-Need; the media from the owners of the corpus",
        citation="S. Siriwardhana et al. IEEE Access 8: 176274–176285, 2020; INTERSPEECH 2020, arXiv:2008.06682",
        tree=_TREE.format(folder=" or ".join(SETS[of].folders), stem=stem),
        modalities=("text", "speech", "face"),
        labels=labels,
        split=split,
        people=people,
        reader=partial(read_set, of=of, published=False),
        notes=(*_NOTES, *notes),
    )


_IEMOCAP = _corpus(
    "iemocap",
    "IEMOCAP",
    "research licence by agreement with the owners (USC SAIL); no redistribution, non-commercial",
    "38_s_5_sad",
    "emotion: neutral, sad, angry, happy, excited; 4 classes are chosen at training (merkit.corpora.label_maps)",
    "none: the published one leaks. data.split.kind=leave_one_out data.split.by=session data.split.out=Ses05",
    "10 actors, two in each of 5 sessions, who agreed to research use.",
    "The names tell the session, not the speaker nor the dialogue. SSE-FT leaves excited out, BERT-like counts it as happy.",
    f"{_LEAK} To compare with figures that were made so: sse-ft-iemocap-leaking.",
)
_LEAKING = replace(
    _IEMOCAP,
    name="sse-ft-iemocap-leaking",
    title="IEMOCAP in the leaking split of SSE-FT and BERT-like, for comparison alone",
    split=f"as published, which leaks: {_LEAK}",
    reader=partial(read_set, of="iemocap", published=True),
    notes=(
        *_NOTES,
        "The leakage check stops a training on it (duplicate_media); data.allow_leaks=[duplicate_media] goes on, and the "
        "run's record says so. Figures on valid mean nothing.",
    ),
)
_MELD = _corpus(
    "meld",
    "MELD",
    "annotations GPL-3.0; the clips are excerpts of a television series, for research only",
    "dia0_utt0",
    "emotion, one of 7",
    "official, less what the authors could not process: train 9,954, valid 1,105, test 2,606",
    "actors in their roles; three raters saw the clips. The same characters are in all three parts.",
    "The same name in two splits is two clips, so media must lie in folders called train, valid (or dev) and test.",
)
_VIDEO_LABELS = "sentiment from -3 to 3, rounded to 4 decimals; or whole numbers (sentiment7) and its sign (sentiment2)"
_MOSI = _corpus(
    "mosi",
    "CMU-MOSI",
    "for academic research; no redistribution",
    "bOL9jKpeJRs_1",
    _VIDEO_LABELS,
    "official, by video: train 1,284, valid 229, test 686",
    "89 speakers of public YouTube reviews.",
)
_MOSEI = _corpus(
    "mosei",
    "CMU-MOSEI",
    "for academic research; no redistribution",
    "3At-BKm9eYk_0",
    _VIDEO_LABELS,
    "by video: train 16,090, valid 1,859, test 4,586",
    "1,000 speakers of public YouTube videos.",
)
SSE_MANIFESTS = (_IEMOCAP, _LEAKING, _MELD, _MOSI, _MOSEI)
