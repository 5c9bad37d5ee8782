"""Hyperparameter search: concurrent evaluation of candidates, with a ranking while it runs."""
