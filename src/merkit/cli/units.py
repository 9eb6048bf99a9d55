"""`merkit units`: k-means units over the states of a speech encoder, from the training clips of a manifest."""

import json
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["units"]


def units(
    manifest: Annotated[
        Path, typer.Argument(help="What `merkit prepare` wrote: it says which clips are for training.")
    ],
    states: Annotated[Path, typer.Option(help="Store of `merkit extract --encoder speech=ENCODER`.")],
    encoder: Annotated[str, typer.Option(help="The same ENCODER, with the same `:layer`.")],
    out: Annotated[Path, typer.Option(help="Folder for the units.")],
    k: Annotated[int, typer.Option("--units", min=2, help="How many.")] = 100,
    most: Annotated[int, typer.Option(min=2, help="States that they are fitted on, at most.")] = 200_000,
    seed: Annotated[int, typer.Option(help="Of the thinning and of k-means.")] = 0,
    store: Annotated[
        Path | None, typer.Option(help="Also write the units of all clips into this new store, without the encoder.")
    ] = None,
    by: Annotated[
        str,
        typer.Option(help="Divide by this group (session …) in place of the manifest's splits, as `group_fold` does."),
    ] = "",
    fold: Annotated[int, typer.Option(min=0, help="With --by: data.split.fold of the run that will use them.")] = 0,
    collapse: Annotated[bool, typer.Option("--collapse", help="With --store: runs of one unit are one token.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON on stdout.")] = False,
) -> None:
    """Fit speech units on training clips, for models that read voice as a row of tokens (BERT-like).

    New clips: `merkit extract … --encoder speech=OUT` (or `speech=OUT:collapse`).

    Examples:

        merkit extract data/ravdess --out states --modalities speech --encoder speech=facebook/hubert-base-ls960:6

        merkit units data/ravdess --states states --encoder facebook/hubert-base-ls960:6 --out units --store tokens
    """
    from merkit.corpora import clip_table, read_manifest
    from merkit.data.group_folds import group_fold
    from merkit.errors import ConfigError
    from merkit.features import FeatureStore
    from merkit.features.extraction_note import note_of_store, write_note
    from merkit.features.unit_tokens import write_unit_store
    from merkit.features.units import fit_units

    if collapse and store is None:
        raise ConfigError("--collapse goes with --store; for `merkit extract` write speech=OUT:collapse")
    held, listed = FeatureStore.open(states), read_manifest(manifest)
    clips = None
    if by:
        divided = group_fold(clip_table(listed), fold, by)
        clips = set(map(str, divided.ids[divided.split == "train"]))
    found = fit_units(listed, held, encoder, k, most=most, seed=seed, clips=clips)
    found.save(out)
    if store is not None:
        write_unit_store(held, out, store, collapse=collapse)
        before = note_of_store(states)
        own = {**before.get("encoders", {}), "speech": f"{out.absolute()}{':collapse' if collapse else ''}"}
        write_note(store, {**before, "encoders": own})
    facts = {
        "units": len(found),
        "clips": len(found.about["clips"]),
        "states": found.about["tokens"],
        "out": str(out),
        "store": None if store is None else str(store),
    }
    if as_json:
        typer.echo(json.dumps(facts, ensure_ascii=False, indent=1))
        return
    typer.echo(
        f"{facts['units']} units of {facts['states']} states of {facts['clips']} training clips; kept in {out}"
        + (f"; tokens of all clips: {store}" if store is not None else "")
    )
