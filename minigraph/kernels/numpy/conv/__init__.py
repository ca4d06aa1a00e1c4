"""Convolution: the three slots of one trilinear form, in one file for each algorithm."""
