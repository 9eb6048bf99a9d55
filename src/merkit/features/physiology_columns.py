"""Which columns of a physiology token are measured together: what scaling by person has to know."""

from merkit.data.persons import Measured
from merkit.features.physiology import PHYSIOLOGY_COLUMNS
from merkit.features.physiology_windows import WindowLayout

__all__ = ["measured_statistics", "measured_windows"]


def measured_statistics() -> tuple[Measured, ...]:
    """Of `PhysiologyExtractor`: each signal's statistics with that signal's `present`, the split of skin conductance with
    that of `eda`, the heart's with its own.

    Example:
        >>> [PHYSIOLOGY_COLUMNS[each.present] for each in measured_statistics()][-3:]
        ['resp_present', 'eda_present', 'heart_present']
    """
    at = {name: i for i, name in enumerate(PHYSIOLOGY_COLUMNS)}
    signals = [name.removesuffix("_present") for name in PHYSIOLOGY_COLUMNS if name.endswith("_present")]
    found = []
    for signal in (name for name in signals if name != "heart"):
        first = at[f"{signal}_present"] + 1
        found.append(Measured(slice(first, at[f"{signal}_slope_per_s"] + 1), first - 1))
    skin = slice(at["eda_tonic_mean"], at["eda_responses_per_min"] + 1)
    heart = slice(at["heart_rate_per_min"], at["heart_rmssd_ms"] + 1)
    return (*found, Measured(skin, at["eda_present"]), Measured(heart, at["heart_present"]))


def measured_windows(layout: WindowLayout) -> tuple[Measured, ...]:
    """Of `PhysiologyWindowsExtractor`: the samples of a channel share one centre and one scale.

    Args:
        layout: `window_layout` of the extractor's parameters.

    Example:
        >>> measured_windows(WindowLayout(10.0, {"eda": 4.0, "ibi": 2.0}))[1]
        Measured(columns=slice(40, 60, None), present=61, shared=True)
    """
    first = layout.present_at.start
    return tuple(Measured(columns, first + i, True) for i, columns in enumerate(layout.slices().values()))
