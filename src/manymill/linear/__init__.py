"""Linear models of text: feature batches from a plan, the training loop, and the estimators around it."""
