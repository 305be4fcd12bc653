"""What xanesml computes: structures, FEFF runs, the store, averages, the network.

Importable on a laptop: nothing here loads MPI, Horovod or TensorFlow on import.
How the work is spread over ranks and GPUs lives in :mod:`hpc`.
"""

__version__: str


def __getattr__(name: str) -> str:
    if name == "__version__":
        # Not at the top: reading metadata takes longer than a short FEFF stage.
        from importlib.metadata import version  # noqa: PLC0415

        return version("xanesml")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def main() -> None:
    """Run the command line, which is in the package `hpc` beside this one: the console script `xanesml`."""
    import sys  # noqa: PLC0415 (a notebook needs none of these)
    from importlib import import_module, util  # noqa: PLC0415
    from pathlib import Path  # noqa: PLC0415

    spec = util.find_spec("hpc")
    found = Path(spec.origin).resolve() if spec is not None and spec.origin is not None else None
    if found != Path(__file__).resolve().parent.parent / "hpc" / "__init__.py":
        where = "" if found is None else f" at {found.parent if found.name == '__init__.py' else found}"
        sys.stderr.write(
            f"xanesml: another package named hpc{where} hides xanesml's; remove it from PYTHONPATH or uninstall it\n"
        )
        sys.exit(2)
    import_module("hpc.cli").main()
