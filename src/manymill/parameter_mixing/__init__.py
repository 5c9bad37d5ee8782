"""Parameter mixing: any linear model of scikit-learn, trained on parts in parallel and averaged.

::

    rows or blocks ──► parts                   partitioning: each row in one part, decided by the seed alone
    for each round:
        for each part, on any worker:          tasks, learning: fit, or on from the mean
            model ──► votes                    averaging: its coefficients times the weight of its rows
        votes added up in a fixed tree ──► mean
    estimator_ = an ordinary estimator that has the mean for its coefficients

Literature: Mann, McDonald, Mohri, Silberman and Walker, *Efficient large-scale distributed training of conditional
maximum entropy models*, NIPS 2009 (one round); McDonald, Hall and Mann, *Distributed training strategies for the
structured perceptron*, NAACL 2010 (several).
"""
