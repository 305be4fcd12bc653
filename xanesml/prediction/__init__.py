"""Prediction: from a measured spectrum to its mean squared displacement."""
