"""Linear models of text: lessons from a plan, the training loop, and the estimator around them."""
