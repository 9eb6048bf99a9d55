"""Options that `merkit evaluate` and `merkit predict` share: how answers are made of what networks say."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from merkit.training.answering import Answering

__all__ = ["DeviceOption", "RawOption", "TemperOption", "ViewsOption", "WeightOption", "answering"]

ViewsOption = Annotated[
    str,
    typer.Option(
        help="Views of the pictures: 1 `none`, 2 `hflip`, 6 `hflip+multiply`, 12 `all`; mirrored, upside down, ±10 % light."
    ),
]
TemperOption = Annotated[
    float,
    typer.Option(
        help="Power T of probabilities before the mean over views and networks: below 1 flattens (published: 0.1), 1 = none."
    ),
]
RawOption = Annotated[
    bool, typer.Option("--raw", help="Without the temperatures that networks were given on their valid splits.")
]
WeightOption = Annotated[
    list[float] | None, typer.Option(help="Weight of each network of a run, once for every RUN; none = 1 each.")
]
DeviceOption = Annotated[
    str, typer.Option(help="Where to compute: `cpu`, `cuda`, or `auto` for a GPU where there is one.")
]


def answering(views: str, temper: float, raw: bool, device: str) -> "Answering":
    """What the options ask for.

    Raises:
        ConfigError: there is no such set of views or device, or the power is not above 0.
    """
    from merkit.training.answering import Answering

    return Answering(views=views, power=temper, calibrated=not raw, device=device)
