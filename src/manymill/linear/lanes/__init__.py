"""Lanes: parts of the data that are trained side by side and merged after each round."""
