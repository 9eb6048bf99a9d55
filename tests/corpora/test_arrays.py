"""What the config says of modalities that the file does not have is refused: it would have done nothing."""

import numpy as np
import pytest

from merkit.corpora.arrays import ArraysConfig, ArrayTarget, read_arrays
from merkit.errors import ConfigError


def test_misspelt_modalities_and_splits_are_refused(tmp_path) -> None:
    rows = {"x": np.array([[4.0], [-9.0]]), "label": np.array([0, 1])}
    np.savez(tmp_path / "data.npz", **rows, split=np.array(["train", "pool"]))
    config = ArraysConfig(modalities={"text": "x"}, targets={"label": ArrayTarget(labels=("a", "b"))})
    for changes, said in (
        ({"signed_sqrt": ("txt",)}, r"data\.arrays\.signed_sqrt: no txt; did you mean text\? There are text"),
        ({"fitted_on": {"txt": ("valid",)}}, r"data\.arrays\.fitted_on: no txt; did you mean text"),
        ({"fitted_on": {"text": ("trian",)}}, r"fitted_on\.text: no trian; did you mean train\? .*train, valid, test, pool"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=said):
            read_arrays(tmp_path, config.model_copy(update=changes))
    # a split of the file's own counts, and so does one that this file has no clip of
    right = {"signed_sqrt": ("text",), "fitted_on": {"text": ("valid", "pool")}}
    table = read_arrays(tmp_path, config.model_copy(update=right))
    assert table.streams["text"].x.ravel().tolist() == [2.0, -3.0]
    assert table.provenance["text"].fitted_on == ("valid", "pool")
