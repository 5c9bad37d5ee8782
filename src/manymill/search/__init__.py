"""Model selection: evaluations of candidates that run beside each other and are ranked while they do."""
