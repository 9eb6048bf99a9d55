"""What is to be known of KEMDy19, KEMDy20 and the set for pre-training before using them."""

from typing import Any

from merkit.corpora.corpus import KnownBad
from merkit.corpora.kemdy.names import KEMDY7, UNUSABLE

__all__ = ["FACTS19", "FACTS20", "FACTS_AIHUB"]

_LABELS = (
    "emotion, one of 7: "
    + ", ".join(KEMDY7.labels)
    + ", with the votes of ten raters; affect: valence and arousal, means from 1 to 5; affect_spread: how far raters were "
    "apart. Classes, shares or PeakL shares are made of the votes at training (merkit.data.votes)"
)
_SPLIT = "none; five folds of neighbouring sessions: data.split.kind=leave_one_out data.split.by=fold data.split.out=3"
_LICENCE = "by agreement with ETRI, for research within the agreed purpose; no redistribution"
_NOTES = (
    "Most segments are neutral: accuracy and micro F1 alone say little. Look at macro F1 and unweighted recall too.",
    "Ties (joined with ; in the total) have votes and no class. Centroids for settling them by valence and arousal are "
    "those published, counted over all sessions (merkit.corpora.kemdy.CENTROIDS).",
    "Sensor units are those of the makers (Empatica E4: µS, °C, s); the ECG's is taken as mV, which the release does not "
    "write down. Segments last seconds: most are shorter than what heart-rate variability needs.",
)

FACTS19: dict[str, Any] = {
    "name": "kemdy19",
    "title": "KEMDy19: Korean Emotion Multimodal Database 2019",
    "licence": _LICENCE,
    "obtain": "https://nanum.etri.re.kr/share/kjnoh/KEMDy19 (apply and sign the agreement), unpacked",
    "citation": "K. J. Noh et al. Sensors 21(5): 1579, 2021. doi:10.3390/s21051579",
    "tree": """\
ROOT/[KEMDy19/]annotation/Session01_F_res.csv, Session01_M_res.csv …   how raters saw her, him in each segment
  wav/Session01/Sess01_script01/Sess01_script01_F001.wav, .txt         sound and words of a segment
  ECG|EDA|TEMP/Session01/Original/Sess01F.csv                          sensors of one person; optional""",
    "modalities": ("text", "speech", "physiology"),
    "labels": _LABELS + "; listener_emotion and listener_affect: how who listened appeared meanwhile",
    "split": _SPLIT,
    "people": "20 pairs of voice actors, a woman and a man, who agreed to research use; scenes scripted and improvised.",
    "known_bad": tuple(KnownBad(each, why) for each, why in UNUSABLE.items()),
    "notes": (
        "Part of the scenes was scripted: lines that several sessions played are named by the leakage check. Take improvised "
        "scenes alone, or set data.allow_leaks and say so.",
        "The published tables hold a few segments under a wrong id (sessions 3, 4, 9): what then stands there twice counts "
        "once, the first time.",
        *_NOTES,
    ),
    "derives": True,
}
FACTS20: dict[str, Any] = {
    "name": "kemdy20",
    "title": "KEMDy20: Korean Emotion Multimodal Database 2020",
    "licence": _LICENCE,
    "obtain": "https://nanum.etri.re.kr/share/kjnoh/KEMDy20 (apply and sign the agreement), version 1.1, unpacked",
    "citation": "K. J. Noh, H. Jeong. KEMDy20. ETRI 2022. https://nanum.etri.re.kr/share/kjnoh/KEMDy20",
    "tree": """\
ROOT/[KEMDy20_v1_1/]annotation/Sess01_eval.csv …            how raters saw the speaker of each segment
  wav/Session01/Sess01_script01_User002M_001.wav, .txt      sound and words of a segment
  EDA|IBI|TEMP/Session01/Sess01_script01_User002M.csv       sensors of one person in one talk; optional""",
    "modalities": ("text", "speech", "physiology"),
    "labels": _LABELS,
    "split": _SPLIT,
    "people": "80 people who agreed to research use, in 40 pairs, talking freely about clips that they had seen.",
    "notes": _NOTES,
    "derives": True,
}
FACTS_AIHUB: dict[str, Any] = {
    "name": "kemdy-aihub",
    "title": "Korean emotional sentences from AI Hub, in the form in which the tensor mixer's authors pre-trained on them",
    "licence": "by agreement with AI Hub (NIA, Republic of Korea); no redistribution",
    "obtain": "https://aihub.or.kr (data set of emotional conversation), brought into the form below",
    "citation": "AI Hub, National Information Society Agency (NIA), Republic of Korea",
    "tree": "ROOT/[aihub/]annotation/*.csv (columns txt, segment_id, emotion)\nROOT/[aihub/]wav/SEGMENT_ID.wav",
    "modalities": ("text", "speech"),
    "labels": "emotion, one of 7: " + ", ".join(KEMDY7.labels) + "; valence and arousal were not asked",
    "split": "80 % train, 20 % valid, drawn by the id of each sentence: the same in every run; speakers are not known",
    "people": "people who recorded sentences for AI Hub; who said what is not part of this form.",
    "notes": (
        "For pre-training alone: without names of speakers nothing keeps a voice out of both parts.",
        "The published code set valence and arousal to 0 here; they are not known, and no loss or measure sees them.",
    ),
}
