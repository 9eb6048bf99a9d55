"""Raw windows of physiology as a stream of a model: an encoder that learns along, told what was extracted."""

from pydantic import Field

from merkit.config import Config
from merkit.data.persons import check_scales
from merkit.data.table import ClipTable
from merkit.errors import ConfigError
from merkit.features.physiology_windows import WindowLayout, window_layout
from merkit.models.physiology import PhysiologyEncoder

__all__ = ["WindowsConfig", "check_windows", "layout_of", "windows_encoder"]


class WindowsConfig(Config):
    """How physiology is read. Without it here, its tokens are features like any other."""

    encoder: bool = False
    """Learn an encoder of raw windows (`merkit extract --extractor physiology=physiology-windows`): 1-D convolutions for each
    signal."""
    window_s: float = Field(10.0, gt=0)
    """Seconds of a window, as extracted."""
    rates_hz: dict[str, float] = {}  # noqa: RUF012  pydantic copies defaults
    """Signal -> samples a second, as extracted; empty = those of the extractor by default."""
    hidden: int = Field(32, ge=1)
    """Convolution channels of the encoder."""


def layout_of(config: WindowsConfig) -> WindowLayout:
    """What the columns of raw windows of physiology are.

    Raises:
        ConfigError: no such signal, or a rate that is none.

    Example:
        >>> layout_of(WindowsConfig(window_s=5.0, rates_hz={"eda": 8.0})).width
        41
    """
    try:
        return window_layout({"window_s": config.window_s, "rates_hz": config.rates_hz or None})
    except ValueError as error:
        raise ConfigError(f"physiology: {error}") from None


def windows_encoder(config: WindowsConfig, width: int, dropout: float) -> PhysiologyEncoder:
    """The encoder, with fresh weights from torch's random numbers.

    Args:
        config: what was extracted.
        width: `D` of its states.
        dropout: before its last layer.

    Example:
        >>> windows_encoder(WindowsConfig(window_s=5.0, rates_hz={"eda": 8.0}), 16, 0.1).width
        16
    """
    return PhysiologyEncoder(layout_of(config).samples, width, hidden=config.hidden, dropout=dropout)


def check_windows(encoder: PhysiologyEncoder, table: ClipTable, modality: str = "physiology") -> None:
    """That an encoder's centres and scales are those of the training clips.

    Raises:
        LeakageError: they were fitted on other clips.
    """
    check_scales(*encoder.per_column(), table, modality, encoder.measured).raise_if_leaking()
