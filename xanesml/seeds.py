"""Every random draw of a campaign, by name: each comes from the campaign's seed and from nothing else.

A draw depends neither on the number of ranks nor on what was drawn before it, so structures,
splits, batches and the errors of a simulated measurement can be made again one by one.
"""

from __future__ import annotations

from enum import Enum

import numpy as np

#: First number of a stream's spawn key. Such keys have two numbers or more; a structure's has one.
_BRANCH = 0


class Stream(Enum):
    """Purpose of a random generator. Its numbers are part of the seed; none begins with those of another stream."""

    #: Families of averages on the training, validation, calibration and test side.
    SPLIT = (1,)
    #: Order of the spectra in an epoch.
    ORDER = (2,)
    #: Errors of measurement in training.
    AUGMENTATION = (3,)
    #: Errors of measurement on the split that chooses the epoch.
    VALIDATION_ERRORS = (4, 0)
    #: The same on the spectra that the other predictors are fitted to.
    BASELINE_ERRORS = (4, 1)
    #: The same on the split that calibrates the intervals.
    CALIBRATION_ERRORS = (4, 2)
    #: The same on the test split.
    TEST_ERRORS = (4, 3)
    #: Noise on particle averages; the same before and after fine-tuning, so that the two compare.
    PARTICLE_NOISE = (4, 4)
    #: The same on the particle averages that calibrate intervals.
    PARTICLE_CALIBRATION_NOISE = (4, 6)
    #: One error of measurement at a time, for what each costs.
    SENSITIVITY = (4, 5)
    #: Distributions of averages that are made while training.
    DISTRIBUTIONS = (5,)
    #: Units that dropout leaves out.
    DROPOUT = (6,)
    #: Disordered structures to fine-tune on, and to test on.
    STRUCTURES = (7,)
    #: Initial weights of a network.
    WEIGHTS = (8,)
    #: Settings of a tuning trial.
    TRIALS = (9,)
    #: Species on shared sites of a crystal.
    OCCUPANCY = (12,)
    #: Atoms that are a fair sample of a particle's absorbers.
    ABSORBERS = (13,)
    #: Mixtures of the environments of a pool.
    MIXTURES = (14,)
    #: Sessions that pools are tried on.
    SESSIONS = (15,)
    #: Structures that calibrate intervals, of those that are not trained on.
    PARTICLE_CALIBRATION = (10,)
    #: Labels that are shuffled to check a training.
    SHUFFLED_LABELS = (20,)
    #: Other divisions of held-out families into calibration and test.
    COVERAGE = (11,)


def seed_of(seed: int, stream: Stream, *key: int) -> np.random.SeedSequence:
    """Return the seed of a stream's random generator.

    Parameters
    ----------
    seed : int
        Seed of the campaign, 0 or more.
    stream : Stream
        What the draws are for.
    *key : int
        Further numbers that tell generators of one stream apart, such as epoch and rank.

    Returns
    -------
    numpy.random.SeedSequence
        Independent of those of other streams and keys, and of the structures'.
    """
    return np.random.SeedSequence(seed, spawn_key=(_BRANCH, *stream.value, *key))


def generator(seed: int, stream: Stream, *key: int) -> np.random.Generator:
    """Return the random generator of a stream; see `seed_of`."""
    return np.random.default_rng(seed_of(seed, stream, *key))


def seed_of_families(seed: int) -> np.random.SeedSequence:
    """Return the seed that the distributions of the stored averages are drawn from."""
    return np.random.SeedSequence(seed)


def structure_rng(seed: int, index: int) -> np.random.Generator:
    """Return the random generator of a disordered structure.

    Parameters
    ----------
    seed : int
        Seed of the campaign, 0 or more.
    index : int
        Index of the structure among the disordered ones, 0 or more.

    Returns
    -------
    numpy.random.Generator
        Depends on the two numbers only, not on how many structures or ranks there are.
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index,)))
