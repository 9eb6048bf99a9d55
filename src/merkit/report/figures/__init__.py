"""Figures of runs and of labelled corpora: each as PNG, SVG and the table of the numbers that are drawn."""

from merkit.report.figures.attention import attention_timeline, expressiveness_bars
from merkit.report.figures.classes import ClassPanel, class_bars, confusion_figure
from merkit.report.figures.co_occurrence import co_occurrence_map
from merkit.report.figures.drawing import Drawing
from merkit.report.figures.embedding import embedding_map, plane_of
from merkit.report.figures.of_attention import attention_figures
from merkit.report.figures.of_data import data_figures
from merkit.report.figures.of_embedding import Embeddings, embedding_figures, embeddings_of
from merkit.report.figures.of_run import run_figures
from merkit.report.figures.statistics import character_bars, count_bars, frequency_bars

__all__ = [
    "ClassPanel",
    "Drawing",
    "Embeddings",
    "attention_figures",
    "attention_timeline",
    "character_bars",
    "class_bars",
    "co_occurrence_map",
    "confusion_figure",
    "count_bars",
    "data_figures",
    "embedding_figures",
    "embedding_map",
    "embeddings_of",
    "expressiveness_bars",
    "frequency_bars",
    "plane_of",
    "run_figures",
]
