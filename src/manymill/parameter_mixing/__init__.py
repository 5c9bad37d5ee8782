"""Parameter mixing: linear models of scikit-learn fitted on parts of the rows in parallel and averaged.

::

    rows or blocks ──► parts                   parts: each row in one part, determined by the seed
    for each round:
        for each part, on any worker:          worker, fitting: fit, or continue from the mean
            model ──► weighted sums            averaging: coefficients times the weight of the part
        sums of all parts, in a fixed tree ──► mean
    estimator_ = an ordinary estimator with the mean as its coefficients

References: Mann, McDonald, Mohri, Silberman and Walker, *Efficient large-scale distributed training of conditional
maximum entropy models*, NIPS 2009 (one round); McDonald, Hall and Mann, *Distributed training strategies for the
structured perceptron*, NAACL 2010 (several rounds).
"""
