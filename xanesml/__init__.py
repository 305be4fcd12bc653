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
