"""Learning: data sets, scaling, augmentation, the network, other predictors, the trained model."""
