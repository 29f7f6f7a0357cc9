"""Estimators of the gradient of an expected reward, one a file, with one interface.

`Estimator` says what all of them return. `ScoreFunction` and `Exact` ask for rewards of actions
alone; the others differentiate the reward itself and need a `RelaxedReward`. `estimator_report`
measures what each is worth on a given problem.
"""

from gatelearn.rl.estimators.base import Estimator
from gatelearn.rl.estimators.enumeration import Exact
from gatelearn.rl.estimators.gumbel_softmax import GumbelSoftmax
from gatelearn.rl.estimators.half_soft import HalfSoft
from gatelearn.rl.estimators.report import EstimatorReport, estimator_report
from gatelearn.rl.estimators.rewards import RelaxedReward, Reward, SquaredDistance
from gatelearn.rl.estimators.score_function import ScoreFunction
from gatelearn.rl.estimators.straight_through import StraightThrough

__all__ = [
    "Estimator",
    "EstimatorReport",
    "Exact",
    "GumbelSoftmax",
    "HalfSoft",
    "RelaxedReward",
    "Reward",
    "ScoreFunction",
    "SquaredDistance",
    "StraightThrough",
    "estimator_report",
]
