"""What a corpus holds before anything is learnt from it: tables, pictures and one page."""

from merkit.report.corpus.reading import CountedCorpus, read_counted
from merkit.report.corpus.section import Section
from merkit.report.corpus.statistics import CorpusStatistics, corpus_statistics, sections_of

__all__ = ["CorpusStatistics", "CountedCorpus", "Section", "corpus_statistics", "read_counted", "sections_of"]
