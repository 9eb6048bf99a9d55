"""`merkit figures`: pictures of a run, of where a model looks, and of a labelled corpus, each with its table of numbers."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["figures"]


def figures(
    run: Annotated[Path | None, typer.Argument(help="A run, evaluated on the split.")] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option("--data", help="A prepared corpus, or a run or its config.json for its data as trained on."),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Which split; none = valid for a run, train and valid for data.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the figures.")] = Path("figures"),
    attention: Annotated[
        bool, typer.Option("--attention", help="Where the label queries of the model look (EmoTx).")
    ] = False,
    scene: Annotated[str | None, typer.Option(help="With --attention: which scene is drawn over time.")] = None,
    embeddings: Annotated[
        bool, typer.Option("--embeddings", help="What the model makes of each clip, as vectors (.npz) and as a map.")
    ] = False,
    layout: Annotated[str, typer.Option(help="With --embeddings: pca, or umap where umap-learn is installed.")] = "pca",
    draws: Annotated[int, typer.Option(min=100, help="Bootstrap resamples.")] = 1000,
    as_json: Annotated[bool, typer.Option("--json", help="The files as JSON on stdout.")] = False,
) -> None:
    """Draw a run or a corpus: PNG, SVG and the CSV of what is drawn. Labels of test only with --split test.

    Examples:

        merkit figures runs/mine --out figures/mine                  # average precision by label, confusions, F1

        merkit figures runs/mine --attention --scene tt0109830-012

        merkit figures runs/mine --embeddings                        # coloured by rated valence, arousal, class

        merkit figures --data prepared/moviegraphs --out figures/labels

        merkit figures --data runs/mine                              # the label set that the run was trained on
    """
    import json

    from merkit.cli.progress import count_progress
    from merkit.errors import ConfigError

    if run is None and not data:
        raise ConfigError("name a run, or a corpus with --data")
    if scene is not None and not attention:
        raise ConfigError("--scene goes with --attention")
    if embeddings and (run is None or attention):
        raise ConfigError("--embeddings are of a run, and go without --attention")
    drawn, said, files = [], [], []
    from merkit.report.figures import attention_figures, data_figures, embedding_figures, run_figures

    if run is not None:
        if embeddings:
            with count_progress("clips", quiet=as_json) as done:
                *found, vectors = embedding_figures(run, split=split or "valid", layout=layout, progress=done)
            files.append(vectors.write(out))
        elif attention:
            with count_progress("scenes", quiet=as_json) as done:
                found = attention_figures(run, split=split or "valid", scene=scene, draws=draws, progress=done)
        else:
            found = run_figures(run, split=split or "valid", draws=draws)
        drawn.append((out, found))
    for source in data or []:
        # several corpora have figures of the same names
        folder = out / (source.name or source.resolve().name) if len(data or []) > 1 else out
        drawn.append((folder, data_figures(source, split=split)))
    for folder, (drawings, sentences) in drawn:
        said += sentences
        for drawing in drawings:
            files += drawing.write(folder)
    if as_json:
        typer.echo(json.dumps({"files": list(map(str, files)), "notes": said}, indent=1, ensure_ascii=False))
        return
    for file in files:
        if file.suffix == ".png":
            typer.echo(f"{file}  (+ .svg, .csv)")
        elif file.suffix == ".npz":
            typer.echo(str(file))
    for sentence in said:
        typer.echo(f"Note: {sentence}", err=True)
