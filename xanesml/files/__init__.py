"""Files: HDF5 and its layout, locks, and writing a file whole or not at all."""
