import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from manymill import _core
from manymill.linear.finish import GradientTree
from manymill.linear.lbfgs import minimise


class Quadratic:
    """Half of (x - 1)' A (x - 1)."""

    def __init__(self, eigenvalues):
        self.a = np.asarray(eigenvalues, np.float64)

    def evaluate(self, point):
        return float(self.a @ (point - 1) ** 2 / 2), self.a * (point - 1)

    def search(self, point, direction, steps):
        return np.array([self.evaluate(point + step * direction)[0] for step in steps])


class Judged:
    """Rows with a penalty on all weights but the intercept."""

    def __init__(self, x, classes, n_outputs, l2):
        n, d = x.shape
        indices = np.tile(np.arange(d, dtype=np.uint32), n)
        self.rows = _core.Rows.from_arrays(np.arange(0, n * d + 1, d), indices, x.ravel())
        self.classes, self.k, self.d, self.l2, self.n = classes, n_outputs, d, l2, n

    def split(self, point):
        point = point.astype(np.float32)
        return point[: -self.k].reshape(-1, self.k), point[-self.k :]

    def evaluate(self, point):
        gradient = _core.Gradient.at(self.rows, self.classes, None, *self.split(point))
        slope = np.concatenate([gradient.sums.ravel(), gradient.intercept]) / self.n
        slope[: -self.k] += self.l2 * point[: -self.k]
        return gradient.loss_sum / self.n + self.l2 / 2 * (point[: -self.k] ** 2).sum(), slope

    def search(self, point, direction, steps):
        sums = _core.losses_along(
            self.rows, self.classes, None, *self.split(point), *self.split(direction), steps
        )
        ends = point[: -self.k] + steps[:, None] * direction[: -self.k]
        return sums / self.n + self.l2 / 2 * (ends**2).sum(axis=1)


def some_rows(n_classes):
    generator = np.random.default_rng(3)
    x = generator.normal(size=(300, 6)).astype(np.float32)
    truth = generator.normal(size=(6, n_classes))
    return x, np.argmax(x @ truth + generator.gumbel(size=(300, n_classes)), axis=1).astype(np.int32)


def test_each_iterate_is_lower_and_the_last_is_the_least():
    objective = Quadratic([1.0, 10.0, 100.0, 0.1])
    losses = [i.loss for i in minimise(objective, np.zeros(4), iterations=60)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 1e-9


def test_at_the_least_point_nothing_is_done():
    assert list(minimise(Quadratic([1.0, 2.0]), np.ones(2), iterations=5)) == []


def test_no_more_iterations_are_made_than_were_asked_for():
    assert [i.number for i in minimise(Quadratic([1.0, 300.0]), np.zeros(2), iterations=2)] == [1, 2]


@pytest.mark.parametrize("n_classes", [2, 4])
def test_it_arrives_where_scikit_learns_logistic_regression_does(n_classes):
    x, classes = some_rows(n_classes)
    outputs = 1 if n_classes == 2 else n_classes
    objective = Judged(x, classes, outputs, l2=0.01)
    *_, last = minimise(objective, np.zeros(7 * outputs), iterations=200)
    peer = LogisticRegression(C=1 / (300 * 0.01), tol=1e-10, max_iter=1000).fit(x, classes)
    weights, _ = objective.split(last.point)
    assert np.allclose(weights.T, peer.coef_, atol=2e-3)


def test_gradients_added_up_in_a_tree_are_that_of_all_rows():
    x, classes = some_rows(4)
    whole, point = Judged(x, classes, 4, 0.0), np.linspace(-1, 1, 28)
    tree = GradientTree()
    for i in range(0, 300, 7):
        part = Judged(x[i : i + 7], classes[i : i + 7], 4, 0.0)
        tree.add(_core.Gradient.at(part.rows, part.classes, None, *part.split(point)))
    total = tree.total()
    slope = np.concatenate([total.sums.ravel(), total.intercept]) / 300
    assert total.weight_sum == 300
    assert np.allclose(slope, whole.evaluate(point)[1], atol=1e-12)


def test_a_gradient_is_made_again_from_its_numbers():
    x, classes = some_rows(3)
    judged = Judged(x, classes, 3, 0.0)
    gradient = _core.Gradient.at(judged.rows, classes, None, *judged.split(np.ones(21)))
    numbers = gradient.loss_sum, gradient.weight_sum, gradient.features, gradient.sums, gradient.intercept
    twin = _core.Gradient.combine([_core.Gradient.from_arrays(*numbers)])
    assert twin.loss_sum == gradient.loss_sum
    assert np.array_equal(twin.sums, gradient.sums)


@pytest.mark.parametrize("spoil", [{"classes": -1}, {"classes": 9}, {"weights": -1.0}, {"columns": 2}])
def test_what_does_not_fit_is_refused(spoil):
    x, classes = some_rows(3)
    judged = Judged(x, classes, 3, 0.0)
    classes = np.full_like(classes, spoil["classes"]) if "classes" in spoil else classes
    row_weights = np.full(300, spoil.get("weights", 1.0), np.float32)
    weights = np.zeros((6, spoil.get("columns", 3)), np.float32)
    with pytest.raises(ValueError):
        _core.Gradient.at(judged.rows, classes, row_weights, weights, np.zeros(3, np.float32))
