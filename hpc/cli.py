"""The command line: parses, validates, calls, prints.

Heavy modules are imported inside the commands, so that `--help` answers at once.
"""

from __future__ import annotations

import shlex
import sys
import time
from enum import Enum
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hpc.closing import Closing
from hpc.comm import Ranks, Writer, exit_with, from_root, keep_status, silent, world, world_or_alone
from xanesml.errors import XanesmlError, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpc.exafs import Disorder
    from xanesml.campaign import Campaign
    from xanesml.measured import Treatment

app = typer.Typer(
    name="xanesml",
    help="Bond-length disorder from XANES: FEFF campaigns over MPI, one HDF5 store, a network trained on it.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

#: Exit status for bad input, for failed tasks, and for more of them than the campaign allows.
BAD_INPUT, SOME_FAILED, TOO_MANY_FAILED = 2, 3, 4

CampaignFile = Annotated[Path, typer.Argument(metavar="CAMPAIGN", help="Campaign file (TOML).")]
OutputFolder = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="Folder of all results. Default: the campaign's name."),
]


def _scratch(text: str) -> Path:
    from hpc.farming.scratch import given_folder

    return given_folder(text)


ScratchFolder = Annotated[
    Path | None,
    typer.Option(
        parser=_scratch,
        metavar="FOLDER",
        help="Node-local folder for FEFF's files. Default: $SLURM_TMPDIR, $TMPDIR or /tmp.",
    ),
]

_WRITER_HELP = "mpio: every rank its rows; root: rank 0 for all; auto: mpio where it works{}."


def _echo(text: object, *, nl: bool = True, err: bool = False) -> None:
    """Print a text, of which a file may have given a part."""
    typer.echo(printable(str(text)), nl=nl, err=err)


def _print_version(wanted: bool) -> None:
    if wanted:
        import xanesml

        _echo(f"xanesml {xanesml.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    # Read by `main`, which catches what the commands raise.
    del debug, version


@app.command()
def plan(
    campaign_file: Annotated[Path | None, typer.Argument(metavar="CAMPAIGN", help="Campaign file (TOML).")] = None,
    task: Annotated[int, typer.Option(help="Task whose FEFF input is printed.")] = 0,
    figure: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw the absorbers' distances and the first-shell cutoff, as PNG and PDF."),
    ] = None,
    feff_input: Annotated[
        Path | None,
        typer.Option("--from", metavar="FEFF.INP", help="Print a campaign made of this structure and these cards."),
    ] = None,
) -> None:
    """Count the tasks, print a FEFF input and the geometry, estimate core-hours. Writes nothing but the figure."""
    from xanesml.errors import CampaignError

    if (campaign_file is None) == (feff_input is None):
        raise CampaignError("give either a campaign file, or --from feff.inp to print a campaign made of it")
    if feff_input is not None:
        from xanesml.feff.inp_campaign import campaign_text

        _echo(campaign_text(feff_input), nl=False)
        return
    assert campaign_file is not None  # noqa: S101 (of the two exactly one is given)
    closing = Closing(campaign_file)
    from xanesml.feff.engine import make_engine
    from xanesml.feff.feff10 import identity_with
    from xanesml.store.cost import table_seconds
    from xanesml.store.geometry import geometry
    from xanesml.store.kinds import Kind, count_kinds
    from xanesml.store.plan import load_campaign
    from xanesml.structures import describe_sites

    campaign = load_campaign(campaign_file)
    engine = make_engine(campaign.engine)
    table = campaign.tasks()
    table.check()
    if not 0 <= task < len(table):
        raise CampaignError(f"--task {task} is not in the campaign; give 0 … {len(table) - 1}")
    distorted = int((table.kind == Kind.DISTORTED).sum())
    sites = table.site_multiplicity
    series, own = distorted * len(sites), len(table.own)
    seconds = table_seconds(table, campaign.engine)
    _echo(table.inputs(task)[0], nl=False)
    _echo(f"\n{campaign_file}: campaign {campaign.name}, the input above is that of task {task}")
    _echo(f"engine:      {identity_with(engine.identity, table.card_set_of(task)[0].feff.extra_cards)}")
    for name, value in geometry(table, campaign.structure):
        _echo(f"{name + ':':<12} {value}")
    _echo(f"structures:  {count_kinds(table.kind)}, {table.positions.shape[1]} atoms each")
    if len(sites) > 1:
        _echo(f"sites:       {describe_sites(sites)}; the series takes {distorted} × {len(sites)} FEFF runs")
    _echo(
        f"FEFF runs:   {len(table)}, {series} for the series and {own - series} for particle averages"
        + (f", {len(table) - own} in variants" if table.variants else "")
    )
    for one in table.variants:
        cards = ", ".join(f"{key} = {value}" for key, value in campaign.feff.variants[one.name].cards.items())
        _echo(f"variant:     {one.name}, tasks {one.rows.start} … {one.rows.stop - 1}: {cards}")
    for label, line in zip(chain(["potentials:"], repeat("")), table.potential_lines(task), strict=False):
        _echo(f"{label:<12} {line}")
    _echo(
        f"estimate:    {seconds.sum() / 3600:.1f} core-hours, {seconds.mean():.0f} s a run "
        "(from runs on one core of a 2.5 GHz Xeon; yours may differ by a factor of two)"
    )
    if figure is not None:
        from xanesml.plots import first_shell_figure

        first_shell_figure(table, figure)
        _echo(f"figure:      {figure.with_suffix('.png')}, {figure.with_suffix('.pdf').name}")
    _echo(closing.line(["a plan"], closing.command("simulate", ranks=True)))


@app.command()
def simulate(
    campaign_file: CampaignFile,
    output: OutputFolder = None,
    writer: Annotated[Writer, typer.Option(help=_WRITER_HELP.format(", on one host"))] = Writer.auto,
    scratch: ScratchFolder = None,
    reuse: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="STORE", help="For a new store or new variants: copy another's finished tasks; may be repeated."
        ),
    ] = None,
    limit: Annotated[
        float | None,
        typer.Option(
            metavar="MINUTES", help="Time left for this job. Default: until $SLURM_JOB_END_TIME, or unlimited."
        ),
    ] = None,
) -> None:
    """Run every FEFF task that is not done yet. Start it under mpirun."""
    closing = Closing(campaign_file, output)
    from xanesml.feff.process import serve_runs

    serve_runs()
    comm = world()
    echo = _echo if comm.rank == 0 else silent

    from hpc.drain import RESUBMIT
    from hpc.farming.simulate import simulate as run
    from xanesml.feff.outcomes import Outcome

    campaign, folder = _campaign(comm, campaign_file, output)
    report = run(
        comm,
        campaign,
        folder / "store.h5",
        writer=writer,
        scratch=scratch,
        reuse=reuse or (),
        limit=None if limit is None else 60 * limit,
        echo=echo,
    )
    total = sum(report.outcomes.values())
    counts = ", ".join(f"{count} {label}" for label, count in sorted(report.outcomes.items()))
    echo(
        f"store: {folder / 'store.h5'}: {counts}; {report.ran} runs in {report.seconds:.0f} s on {comm.size} ranks, "
        f"{report.share:.1%} of their time in FEFF"
    )
    ran = [f"{report.ran} FEFF runs in {folder / 'store.h5'}"]
    if report.too_many_failed:
        echo(
            f"too many tasks failed: `xanesml status {campaign_file}` lists the latest, {folder / 'failed'} has some "
            "folders; repair the cause, or raise engine.max_failed, and start the same command again"
        )
        echo(closing.line(ran, closing.command("status")))
        raise typer.Exit(TOO_MANY_FAILED)
    if report.drained:
        echo("stopped with tasks left to run: start the same command again")
        echo(closing.line(ran, closing.command("simulate", ranks=True)))
        raise typer.Exit(RESUBMIT)
    if report.outcomes.get(Outcome.DONE.label, 0) < total:
        echo(f"some runs are not done; their folders are in {folder / 'failed'}; the same command retries them")
        echo(closing.line(ran, closing.command("status")))
        raise typer.Exit(SOME_FAILED)
    echo(closing.line(ran, closing.command("average", ranks=True)))


@app.command()
def average(
    campaign_file: CampaignFile,
    output: OutputFolder = None,
    writer: Annotated[Writer, typer.Option(help=_WRITER_HELP.format(""))] = Writer.auto,
) -> None:
    """Average the spectra of the store into training tensors."""
    closing = Closing(campaign_file, output)
    comm = world()
    echo = _echo if comm.rank == 0 else silent

    from hpc.average import average as run

    campaign, folder = _campaign(comm, campaign_file, output)
    run(comm, campaign, folder / "store.h5", folder / "tensors.h5", writer=writer, echo=echo)
    echo(closing.line([folder / "tensors.h5"], closing.command("train", ranks=True)))


@app.command()
def plot(campaign_file: CampaignFile, output: OutputFolder = None) -> None:
    """Draw the series and the averages made from it."""
    closing = Closing(campaign_file, output)
    from xanesml.errors import CampaignError, StructureError
    from xanesml.plots import averaging_figures, shell_figure
    from xanesml.store.plan import expand

    campaign, folder = _campaign(None, campaign_file, output)
    drawn = averaging_figures(folder / "tensors.h5", folder / "figures")
    if drawn.left_out:
        _echo(f"left out: {drawn.reasons()}")
    count = len(drawn.figures)
    try:
        count += shell_figure(expand(campaign), folder / "figures" / "shell.png")
    except (CampaignError, StructureError) as error:
        # The structure file may be elsewhere, and the others need only the tensor file.
        _echo(f"left out: shell: {error}")
    _echo(f"figures: {folder / 'figures'}: {count}, each as PNG and PDF")
    _echo(closing.line([folder / "figures"], closing.command("train", ranks=True)))


@app.command()
def mix(
    campaign_file: CampaignFile,
    sigma: Annotated[
        list[str] | None, typer.Option(metavar="Å", help="Scale σ of a skew-normal distribution; several: 0.08,0.145.")
    ] = None,
    msd: Annotated[list[str] | None, typer.Option(metavar="Å²", help="MSD of a Gaussian; several by commas.")] = None,
    bonds: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Bond lengths or shifts, Å, one a row, with or without a share."),
    ] = None,
    mean: Annotated[
        list[str] | None, typer.Option(metavar="Å", help="Location μ, with each σ and MSD. Default: 0.")
    ] = None,
    alpha: Annotated[list[str] | None, typer.Option(metavar="α", help="Shape α, with each σ. Default: 0.")] = None,
    truncated: Annotated[
        bool, typer.Option("--truncated", help="Make distributions that reach beyond the series, from what is inside.")
    ] = False,
    measured: Annotated[
        Path | None, typer.Option(metavar="SPECTRUM", help="A measured spectrum to set beside them.")
    ] = None,
    name: Annotated[str, typer.Option(metavar="NAME", help="Folder of the files in that of the results.")] = "mix",
    output: OutputFolder = None,
) -> None:
    """Average the series under distributions of your choice."""
    from hpc.mixing import mix_averages, numbers
    from xanesml.averages.mixing import Choice

    choice = Choice(
        sigma=numbers("--sigma", sigma),
        msd=numbers("--msd", msd),
        bonds=tuple(bonds or ()),
        mean=numbers("--mean", mean) or (0.0,),
        alpha=numbers("--alpha", alpha) or (0.0,),
    )
    campaign, folder = _campaign(None, campaign_file, output)
    target = folder / name
    mixed = mix_averages(
        campaign, folder / "tensors.h5", target, choice, truncated=truncated, measured=measured, echo=_echo
    )
    _echo(f"mix: {target}: {len(mixed.made)} spectra as XDI; spectra.csv, labels.csv, mix.png, mix.pdf")
    if mixed.left_out:
        raise typer.Exit(SOME_FAILED)


@app.command()
def compare(campaign_file: CampaignFile, output: OutputFolder = None) -> None:
    """Compare particle averages with statistical ones."""
    closing = Closing(campaign_file, output)
    from xanesml.averages.comparison import compare as run
    from xanesml.averages.comparison import write_table
    from xanesml.plots import comparison_figures

    _, folder = _campaign(None, campaign_file, output)
    compared = run(folder / "tensors.h5")
    write_table(compared, folder / "comparison.csv")
    for line in compared.lines():
        _echo(line)
    drawn = comparison_figures(compared, folder / "figures")
    if drawn.left_out:
        _echo(f"left out: {drawn.reasons()}")
    files = ", ".join(f"{name}.png, {name}.pdf" for name in drawn.figures)
    _echo(f"table: {folder / 'comparison.csv'}; figures: {folder / 'figures'}: {files}")
    _echo(closing.line([folder / "comparison.csv", folder / "figures"], closing.command("train", ranks=True)))


@app.command()
def trace(
    tensors: Annotated[Path, typer.Argument(metavar="TENSORS", help="A tensor file.")],
    row: Annotated[int, typer.Argument(metavar="ROW", help="Row of the average, from 0.")],
    particle: Annotated[bool, typer.Option("--particle", help="A particle average, not a statistical one.")] = False,
) -> None:
    """Show which runs one average was made from."""
    from xanesml.averages.trace import trace_lines

    for line in trace_lines(tensors, row, "particle" if particle else "statistical"):
        _echo(line)


@app.command()
def train(
    campaign_file: CampaignFile,
    output: OutputFolder = None,
    ranks_per_network: Annotated[
        int, typer.Option(metavar="N", min=1, help="Smallest number of ranks that train a network together.")
    ] = 1,
    check: Annotated[
        bool, typer.Option("--check", help="Do not train: check in a minute whether the network can learn; no mpirun.")
    ] = False,
) -> None:
    """Train the networks, data-parallel with Horovod under mpirun."""
    closing = Closing(campaign_file, output)
    comm = world_or_alone()
    if check:
        _check_training(comm, campaign_file, output)
        return

    from hpc.drain import RESUBMIT, Drain, time_left
    from hpc.training.train import train as run
    from xanesml import plots

    campaign, folder = _campaign(comm, campaign_file, output)
    model, figures = folder / "model", folder / "figures"
    drain = Drain(time_left(None))
    drain.listen()
    report = run(
        comm,
        campaign,
        folder / "tensors.h5",
        model,
        echo=_echo,
        stop=lambda: drain.requested,
        ranks_per_network=ranks_per_network,
    )
    if report is None:
        if comm.rank == 0:
            _echo(closing.line([f"{model}.unfinished"], closing.command("train", ranks=True)))
        raise typer.Exit(RESUBMIT)
    if comm.rank == 0:
        plots.training_figures(folder / "tensors.h5", model, figures)
        _echo(closing.line([model, figures], f"xanesml predict {shlex.quote(str(model))} SPECTRUM"))


def _check_training(comm: Ranks, campaign_file: Path, output: Path | None) -> None:
    from hpc.training.check import check_training
    from xanesml.errors import CampaignError

    if comm.size > 1:
        raise CampaignError("train --check runs in one process; start it without mpirun")
    campaign, folder = _campaign(comm, campaign_file, output)
    started = time.monotonic()
    passed = check_training(campaign, folder / "tensors.h5", echo=_echo)
    _echo(f"check {'passed' if passed else 'failed'} in {time.monotonic() - started:.0f} s; nothing was written")
    if not passed:
        raise typer.Exit(SOME_FAILED)


@app.command()
def tune(
    campaign_file: CampaignFile,
    output: OutputFolder = None,
    ranks_per_trial: Annotated[
        int, typer.Option(metavar="N", min=1, help="Ranks that train a trial together; trials run side by side.")
    ] = 1,
) -> None:
    """Search for better training settings by short trials."""
    closing = Closing(campaign_file, output)
    comm = world_or_alone()

    from hpc.drain import RESUBMIT, Drain, time_left
    from hpc.tuning.tune import tune as run

    campaign, folder = _campaign(comm, campaign_file, output)
    drain = Drain(time_left(None))
    drain.listen()
    report = run(
        comm,
        campaign,
        folder / "tensors.h5",
        folder / "tuning",
        ranks_per_trial=ranks_per_trial,
        echo=_echo,
        stop=lambda: drain.requested,
    )
    if comm.rank == 0:
        _echo(f"tuning: {folder / 'tuning'}: {report.line()}")
    if not report.complete:
        if comm.rank == 0:
            _echo("stopped with trials left to run: start the same command again")
            _echo(closing.line([folder / "tuning"], closing.command("tune", ranks=True)))
        raise typer.Exit(RESUBMIT)
    if comm.rank == 0:
        _echo(closing.line([folder / "tuning"], closing.command("train", ranks=True)))


@app.command()
def pool(
    pool_file: Annotated[
        Path, typer.Argument(metavar="POOL", help="Pool file (TOML): its stores, what it allows for.")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder of pool.h5. Default: the pool's name.")
    ] = None,
) -> None:
    """Mix the runs of several stores into a pool, which reads spectra beside references."""
    closing = Closing()
    from hpc.pooling import make_pool

    folder = make_pool(pool_file, output, _echo)
    then = f"xanesml predict {shlex.quote(str(folder))} SPECTRUM --reference FOIL --reference-msd MSD"
    _echo(closing.line([folder], then))


@app.command()
def predict(
    model: Annotated[
        Path,
        typer.Argument(metavar="MODEL", help="Folder of a trained model, or one that ships (`xanesml models`)."),
    ],
    spectra: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="SPECTRUM",
            help="Measured spectra: XDI, Athena project, NeXus, SPEC, xmu.dat or text in columns; folders, patterns. "
            "FILE:NAME is a spectrum of several, FILE:SIGNAL a signal.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder of predictions.json and figures. Default: the model's parent; `predictions` for one that "
            "ships.",
        ),
    ] = None,
    reference: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="SPECTRUM",
            help="A spectrum of known MSD from the same session; beside a pool several, each with --reference-msd.",
        ),
    ] = None,
    reference_msd: Annotated[
        list[str] | None,
        typer.Option(metavar="MSD", help="MSD of the reference, Å²; exafs: by a fit of its first shell."),
    ] = None,
    reference_error: Annotated[
        list[float] | None,
        typer.Option(
            metavar="ERROR", help="Standard uncertainty of the reference's MSD, Å². Default: 0, or the fit's.", min=0.0
        ),
    ] = None,
    particle: Annotated[
        bool, typer.Option("--reference-is-particle", help="Beside a pool: the first reference is no crystal.")
    ] = False,
    baseline: Annotated[
        str | None,
        typer.Option("--with", metavar="BASELINE", help="Predict with this baseline of the model, not its networks."),
    ] = None,
    element: Annotated[str | None, typer.Option(help="Absorbing element of files that do not name it.")] = None,
    edge: Annotated[str | None, typer.Option(help="Edge of files that do not name it.")] = None,
    signal: Annotated[
        str | None,
        typer.Option(
            metavar="SIGNAL",
            help="transmission, fluorescence, reference, a column, or an expression such as (If1+If2)/I0. "
            "Default, also for the reference: what shows the edge.",
        ),
    ] = None,
    pre_edge: Annotated[
        str | None, typer.Option(metavar="FROM,TO", help="Range of the pre-edge line, eV from the edge.")
    ] = None,
    post_edge: Annotated[
        str | None, typer.Option(metavar="FROM,TO", help="Range of the post-edge polynomial, eV from the edge.")
    ] = None,
    nvict: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, max=4, help="Pre-edge (a + b E)/E^N: 0, a line (default), to 4, Victoreen's."),
    ] = None,
    project_ranges: Annotated[
        bool, typer.Option("--project-ranges", help="Take the ranges that Athena projects hold.")
    ] = False,
    leave_out_glitches: Annotated[
        bool, typer.Option("--leave-out-glitches", help="Leave glitches out. Default: tell them only.")
    ] = False,
    others: Annotated[
        str | None, typer.Option("--others", metavar="SYMBOLS", help="Other elements in the sample, such as Se,Hg.")
    ] = None,
    align: Annotated[
        str,
        typer.Option(help="What puts energies on the reference's: foil (measured with both), edge (itself) or none."),
    ] = "foil",
    exafs: Annotated[
        bool, typer.Option("--exafs", help="Set σ² by EXAFS beside the readings of spectra that reach far enough.")
    ] = False,
    watch: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Predict the spectra of a folder as they come, until Ctrl-C."),
    ] = None,
    every: Annotated[float, typer.Option(metavar="SECONDS", min=0.05, help="How often --watch looks.")] = 5.0,
    jobs: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Processes that read. Default: all cores for many spectra.")
    ] = None,
    project: Annotated[
        Path | None, typer.Option(metavar="FILE.PRJ", help="Write an Athena project of the normalized spectra.")
    ] = None,
    figures: Annotated[
        bool | None, typer.Option("--figures/--no-figures", help="A figure of each spectrum. Default: of up to 20.")
    ] = None,
) -> None:
    """Read the mean squared displacement off measured spectra."""
    closing = Closing(None, output or model.parent)
    from hpc.pool_choice import pool_for
    from hpc.predicting import energy_range, expected_elements
    from xanesml.errors import SpectrumError
    from xanesml.measured import Treatment

    references: list[tuple[Path, Disorder | None]] = []
    if reference or reference_msd or reference_error:
        from hpc.exafs import references_of

        references = references_of(reference or [], reference_msd or [], reference_error or [])
    if align not in ("foil", "edge", "none"):
        raise SpectrumError(f"--align is {align!r}; give foil, edge or none")
    if not spectra and watch is None:
        raise SpectrumError("no spectra are given; name files, folders or patterns, or --watch a folder")
    treatment = Treatment(
        pre_edge=energy_range("--pre-edge", pre_edge),
        post_edge=energy_range("--post-edge", post_edge),
        project_ranges=project_ranges,
        leave_out_glitches=leave_out_glitches,
        others=expected_elements(others),
        nvict=nvict,
    )
    networks = baseline is not None or watch is not None or exafs or project is not None
    if (pool := pool_for(model, beside=bool(references), networks=networks)) is not None:
        from hpc.pooling import predict_beside

        refused = predict_beside(
            pool,
            spectra or [],
            references,
            crystal=not particle,
            element=element,
            edge=edge,
            signal=signal,
            treatment=treatment,
            output=output or (pool.folder.parent if pool.shipped is None else Path("predictions")),
            figures=figures,
            echo=_echo,
        )
        for line in refused:
            _echo(f"refused: {line}", err=True)
        if refused:
            raise typer.Exit(SOME_FAILED)
        return
    if len(references) > 1 or particle:
        raise SpectrumError(
            "networks take one reference, of any kind; several, or a particle, need a pool (`xanesml pool`, "
            "`xanesml models`)"
        )
    _by_networks(
        model,
        spectra,
        references,
        closing=closing,
        output=output,
        exafs=exafs,
        watch=watch,
        every=every,
        jobs=jobs,
        project=project,
        figures=figures,
        treatment=treatment,
        given={"element": element, "edge": edge, "signal": signal, "align": align},
        predictor=baseline,
    )


def _by_networks(
    model: Path,
    spectra: list[Path] | None,
    references: Sequence[tuple[Path, Disorder | None]],
    *,
    closing: Closing,
    output: Path | None,
    exafs: bool,
    watch: Path | None,
    every: float,
    jobs: int | None,
    project: Path | None,
    figures: bool | None,
    treatment: Treatment,
    given: dict[str, str | None],
    predictor: str | None,
) -> None:
    from hpc.predicting import Results, read_spectra, watch_folder
    from xanesml.assessment.report import NETWORK
    from xanesml.prediction.model import load_model

    if fitted := exafs or bool(references):
        from hpc.exafs import Shell, fit_beside, fit_reference
        from xanesml.exafs import FitChoices

    loaded = load_model(model)
    if loaded.shipped is not None:
        _echo(f"model {loaded.shipped}")
    folder = output or (model.parent if loaded.shipped is None else Path("predictions"))
    metadata = loaded.trained.metadata
    wanted: dict[str, Any] = {
        "element": given["element"] or metadata.element,
        "edge": given["edge"] or metadata.edge,
    }
    options: dict[str, Any] = {"element": given["element"], "edge": given["edge"], "treatment": treatment}
    known = None
    if fitted:
        shell = Shell(metadata.campaign, FitChoices(), treatment)
    for path, stated in references:
        disorder = stated or fit_reference(shell, path, **wanted, folder=folder / "reference", echo=_echo)
        known = loaded.reference(path, disorder[0], disorder[1] or 0.0, **options)
    options |= given | {"reference": known, "predictor": predictor or NETWORK}
    results = Results(folder, project=project, figures=figures, echo=_echo)
    if spectra:
        found = read_spectra(loaded, spectra, options, jobs, _echo)
        results.add(found)
        if exafs:
            fit_beside(shell, spectra, found, **wanted, signal=given["signal"], folder=folder, echo=_echo)
    if watch is not None:
        watch_folder(loaded, watch, options, results, every)
    written = folder / "predictions.json"
    beside = f"xanesml predict {model} SPECTRUM --reference FOIL --reference-msd MSD"
    then = closing.command("report") if loaded.shipped is None else beside
    _echo(closing.line([written] if written.exists() else [], then))
    if results.refused:
        raise typer.Exit(SOME_FAILED)


@app.command()
def exafs(
    spectra: Annotated[
        list[Path],
        typer.Argument(metavar="SPECTRUM", help="Measured spectra, as for predict, to 420 eV above the edge or more."),
    ],
    campaign_file: Annotated[
        Path | None,
        typer.Option(
            "--campaign",
            metavar="FILE",
            help="Campaign whose undistorted structure FEFF's path is for. Default: the fcc crystal of the element.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder of the results. Default: the campaign's name, or exafs."),
    ] = None,
    k_range: Annotated[
        str | None, typer.Option(metavar="FROM,TO", help="Range of the fit, 1/Å. Default: 3,12, or to the data's end.")
    ] = None,
    r_range: Annotated[
        str | None,
        typer.Option(metavar="FROM,TO", help="Range of the transform, Å. Default: around the path's length."),
    ] = None,
    k_weights: Annotated[str, typer.Option(metavar="LIST", help="Powers of k, fitted together.")] = "1,2,3",
    third_cumulant: Annotated[bool, typer.Option("--third-cumulant", help="Fit the third cumulant too.")] = False,
    element: Annotated[str | None, typer.Option(help="Absorbing element of files that do not name it.")] = None,
    edge: Annotated[str | None, typer.Option(help="Edge of files that do not name it.")] = None,
    signal: Annotated[str | None, typer.Option(metavar="SIGNAL", help="As for predict.")] = None,
    nvict: Annotated[int | None, typer.Option(metavar="N", min=0, max=4, help="Pre-edge, as for predict.")] = None,
    others: Annotated[
        str | None, typer.Option("--others", metavar="SYMBOLS", help="Other elements in the sample, such as Se,Hg.")
    ] = None,
) -> None:
    """Fit the first shell of measured spectra: σ², bond length, amplitude."""
    from hpc.exafs import Shell, fit_files, weights_of, write_fits
    from hpc.predicting import energy_range, expected_elements
    from xanesml.errors import SpectrumError
    from xanesml.exafs import FitChoices
    from xanesml.measured import Treatment
    from xanesml.prediction.files import spectra_of

    choices = FitChoices(
        k_range=energy_range("--k-range", k_range, "two wave numbers, such as 3,12"),
        k_weights=weights_of(k_weights),
        r_range=energy_range("--r-range", r_range, "two distances, such as 1.8,3.2"),
        third_cumulant=third_cumulant,
    )
    campaign, folder = (None, output or Path("exafs"))
    if campaign_file is not None:
        campaign, folder = _campaign(None, campaign_file, output)
        element, edge = element or campaign.structure.element, edge or campaign.feff.edge
    shell = Shell(campaign, choices, Treatment(others=expected_elements(others), nvict=nvict))
    refused: list[str] = []
    found = fit_files(shell, spectra_of(spectra), element=element, edge=edge, signal=signal, refuse=refused.append)
    if not found:
        raise SpectrumError("; ".join(refused) or "there are no spectra to fit")
    write_fits(folder, found, echo=_echo)
    for reason in refused:
        _echo(f"refused: {reason}", err=True)
    _echo(f"table: {folder / 'exafs.csv'}; figures: {folder / 'figures'}")
    if refused:
        raise typer.Exit(SOME_FAILED)


@app.command()
def models() -> None:
    """List the trained models that ship with xanesml."""
    from xanesml.models import shipped_models

    for one in shipped_models():
        _echo(one)


@app.command()
def report(campaign_file: CampaignFile, output: OutputFolder = None) -> None:
    """Write summary.md and report.html: the files, the figures, and how good the model is. At any stage."""
    closing = Closing(campaign_file, output)
    from xanesml.assessment.summary import write_summary
    from xanesml.files.hdf5 import open_file
    from xanesml.files.layout import TENSORS
    from xanesml.page import write_page
    from xanesml.store.rows import open_store_file, outcome_counts
    from xanesml.store.variants import variant_sizes

    campaign, folder = _campaign(None, campaign_file, output)
    outcomes: dict[str, int] = {}
    variants: dict[str, int] = {}
    averages: dict[str, int] = {}
    if (folder / "store.h5").exists():
        with open_store_file(folder / "store.h5") as file:
            outcomes, variants = outcome_counts(file), variant_sizes(file)
    if (folder / "tensors.h5").exists():
        with open_file(folder / "tensors.h5", TENSORS) as file:
            for kind in ("statistical", "particle"):
                averages[f"{kind} averages"] = file[f"{kind}/spectra"].shape[0]
    _echo(write_summary(folder, campaign, outcomes=outcomes, variants=variants, tensors=averages))
    page = write_page(folder, campaign)
    _echo(closing.line([folder / "summary.md", page], _after_report(closing, folder, page)))


def _after_report(closing: Closing, folder: Path, page: Path) -> str:
    """Return the command of the first stage that is missing in a campaign's folder, or how to see its page."""
    for name, verb in (("store.h5", "simulate"), ("tensors.h5", "average"), ("model", "train")):
        if not (folder / name).exists():
            return closing.command(verb, ranks=True)
    if not (folder / "predictions.json").exists():
        return f"xanesml predict {shlex.quote(str(folder / 'model'))} SPECTRUM"
    return f"open {shlex.quote(str(page))} in a browser"


@app.command()
def status(
    campaign_file: CampaignFile,
    output: OutputFolder = None,
    failures: Annotated[int, typer.Option(help="How many failed runs to list.")] = 5,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Keep showing it until the call of simulate has ended, or Ctrl-C.")
    ] = False,
    every: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", min=0.05, help="How often --follow looks. Default: 1 on a terminal, else 30."),
    ] = None,
) -> None:
    """Show the progress of a simulation, also while it runs."""
    from xanesml.store.status import read_status, status_lines

    _, folder = _campaign(None, campaign_file, output)
    if follow:
        from rich.console import Console

        from hpc.follow import follow as run
        from hpc.progress import on_terminal

        console = Console() if on_terminal() else None
        run(folder / "store.h5", failures=failures, every=every, console=console, echo=_echo)
        return
    for line in status_lines(read_status(folder / "store.h5"), failures=failures, now=time.time()):
        _echo(line)


@app.command()
def validate(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Stores and tensor files.")],
    repair: Annotated[
        bool, typer.Option("--repair", help="Repair a damaged store; `simulate` runs the rows named again.")
    ] = False,
) -> None:
    """Check the format of files, and the checksum of every row."""
    from xanesml.validation import validate as check

    # In a child process: HDF5 may crash on damaged names and attributes.
    reports = [check(path, repair=repair, apart=True) for path in files]
    for line in (line for one in reports for line in one.lines()):
        _echo(line)
    if not all(one.ok for one in reports):
        raise typer.Exit(SOME_FAILED)


@app.command()
def convert(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Stores and tensor files.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder that the converted files go to. Default: each takes its place."),
    ] = None,
) -> None:
    """Convert files to the present version of their format. Their content stays the same, bit for bit."""
    from xanesml.store.convert import convert as run

    refused = False
    for path in files:
        try:
            _echo(run(path, output, apart=True))
        except XanesmlError as error:
            _echo(f"refused: {error}", err=True)
            refused = True
    if refused:
        raise typer.Exit(SOME_FAILED)


class ExportFormat(str, Enum):
    """Formats of an exported store."""

    xdi = "xdi"
    extxyz = "extxyz"
    both = "both"
    feff = "feff"


@app.command()
def export(
    store: Annotated[Path, typer.Argument(metavar="STORE", help="A store.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder that the files go to.")],
    tasks: Annotated[
        str | None,
        typer.Option(
            metavar="LIST", help="Tasks, such as 0,5-9. Default: all that are done in the campaign's own cards."
        ),
    ] = None,
    variant: Annotated[
        str | None, typer.Option(metavar="NAME", help="The tasks of a variant, [feff.variants.NAME].")
    ] = None,
    what: Annotated[
        ExportFormat, typer.Option("--format", help="xdi: spectra; extxyz: structures; both; feff: folders.")
    ] = ExportFormat.both,
    archive: Annotated[bool, typer.Option("--archive", help="All spectra in one file, spectra.zip.")] = False,
) -> None:
    """Write spectra as XDI, structures as extended XYZ, or a folder for each task as FEFF has it."""
    from xanesml.errors import StoreError
    from xanesml.store.export import chosen_tasks, export_extxyz, export_xdi
    from xanesml.store.export_feff import export_feff

    chosen = chosen_tasks(store, tasks, variant)
    if what is ExportFormat.feff:
        if archive:
            raise StoreError("--archive is for XDI spectra; leave it out, or --format feff")
        folders, done = export_feff(store, output, chosen, echo=_echo)
        _echo(f"{folders} folders in {output}, each with feff.inp, {done} with xmu.dat")
        return
    spectra, target = what is not ExportFormat.extxyz, output / "structures.extxyz"
    if spectra:
        count = export_xdi(store, output, chosen, echo=_echo, archive=archive)
        _echo(f"{count} spectra in {output / 'spectra.zip' if archive else output}")
    if what is not ExportFormat.xdi:
        count = export_extxyz(store, target, chosen, echo=silent if spectra else _echo)
        _echo(f"{count} structures in {target}")


@app.command("import")
def import_(
    runs: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder with runs, each a feff.inp and an xmu.dat.")],
    campaign_file: CampaignFile,
    output: OutputFolder = None,
) -> None:
    """Take finished FEFF runs made elsewhere into a store."""
    from xanesml.store.importing import import_runs

    campaign, folder = _campaign(None, campaign_file, output)
    report = import_runs(runs, campaign, folder / "store.h5", echo=_echo)
    if report.refused:
        raise typer.Exit(SOME_FAILED)


@app.command()
def jobscripts(
    campaign_files: Annotated[
        list[Path] | None, typer.Argument(metavar="CAMPAIGN", help="Campaign files (TOML); several make job arrays.")
    ] = None,
    site: Annotated[
        str, typer.Option(metavar="FILE", help="Site file (TOML), or cpu-cluster, gpu-cluster or laptop.")
    ] = "cpu-cluster",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder of all results, scripts in its jobs/; with several campaigns, the parent of their folders. "
            "Without a campaign, folder of scripts for any campaign.",
        ),
    ] = None,
    spectra: Annotated[
        list[Path] | None,
        typer.Option("--spectrum", metavar="FILE", help="Measured spectrum to predict from; may be repeated."),
    ] = None,
) -> None:
    """Write the job scripts of campaigns for a site."""
    from hpc.jobscripts import Work, load_site, write_jobs, write_unfilled
    from xanesml.errors import CampaignError

    wanted = load_site(site)
    if campaign_files:
        several, base = len(campaign_files) > 1, output or Path()
        work = []
        for path in campaign_files:
            campaign, folder = _campaign(None, path, output)
            work.append(Work(path, campaign.name, base / campaign.name if several else folder))
        written = write_jobs(wanted, work, spectra or [], (base if several else work[0].output) / "jobs")
    elif output is not None:
        written = write_unfilled(wanted, output)
    else:
        raise CampaignError("no campaign is given; name one, or give --output for scripts that take any campaign")
    for path in written:
        _echo(path)


@app.command()
def doctor(
    campaign_file: Annotated[
        Path | None,
        typer.Argument(metavar="CAMPAIGN", help="Campaign file (TOML), for its engine and output folder."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder that results will go to. Default: the campaign's name, or here."),
    ] = None,
    scratch: ScratchFolder = None,
) -> None:
    """Check the machine before a job; under mpirun, every host."""
    comm = world(check=False)
    echo = _echo if comm.rank == 0 else silent

    from hpc.doctor import diagnose

    campaign, folder = None, output or Path()
    if campaign_file is not None:
        campaign, folder = _campaign(comm, campaign_file, output)
    if not diagnose(comm, campaign=campaign, output=folder, scratch=scratch, echo=echo):
        raise typer.Exit(BAD_INPUT)


def _campaign(comm: Ranks | None, path: Path, output: Path | None) -> tuple[Campaign, Path]:
    from xanesml.campaign import Campaign

    campaign = Campaign.load(path) if comm is None else from_root(comm, lambda: Campaign.load(path))
    return campaign, output or Path(campaign.name)


def main() -> None:
    """Run the command line; a user's error is one line and exit status 2."""
    try:
        app()
    except XanesmlError as error:
        if "--debug" in sys.argv[1:]:
            raise
        exit_with(error, BAD_INPUT)
    finally:
        keep_status()


if __name__ == "__main__":
    main()
