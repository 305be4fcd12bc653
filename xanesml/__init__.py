"""What xanesml computes: structures, FEFF runs, the store, averages, the network.

Importable on a laptop: nothing here loads MPI, Horovod or TensorFlow on import.
How the work is spread over ranks and GPUs lives in :mod:`hpc`.
"""

from importlib.metadata import version

__version__ = version("xanesml")
