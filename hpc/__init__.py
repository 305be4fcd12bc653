"""How xanesml is spread over ranks and GPUs, and the command line above it."""
