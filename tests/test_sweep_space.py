"""What a sweep varies: parsed by the types of a study's settings."""

from pathlib import Path

import pytest
import sweep_study
from sweep_study import Colour, Config, Gates

from gatelearn.errors import UserError
from gatelearn.runs.config import leaves, replace_leaves
from gatelearn.sweeps.plan import new_plan
from gatelearn.sweeps.space import Choice, Range, from_json, parse_space, to_json


@pytest.mark.parametrize(("name", "spec", "expected"), [
    ("estimator", "reinforce,loo", Choice(("reinforce", "loo"))),
    ("estimator", ["loo", "crash"], Choice(("loo", "crash"))),
    ("lr", "1e-4:1e-2:log", Range(1e-4, 1e-2, True)),
    ("lr", "0:1", Range(0.0, 1.0)),
    ("lr", "-1:1", Range(-1.0, 1.0)),
    ("lr", "0.1, 1", Choice((0.1, 1.0))),
    ("lr", [0.1, 1], Choice((0.1, 1.0))),
    ("steps", "1:8", Range(1, 8)),
    ("steps", "1:8:log", Range(1, 8, True)),
    ("steps", (1, 2, 8), Choice((1, 2, 8))),
    ("bias", "true,false", Choice((True, False))),
    ("bias", [False, True], Choice((False, True))),
    ("colour", "red,blue", Choice(("red", "blue"))),
    ("colour", list(Colour), Choice(("red", "blue"))),
    ("text", "none,a b", Choice((None, "a b"))),
    ("text", [Path("a"), "b:c"], Choice(("a", "b:c"))),
    ("depth", "none,3", Choice((None, 3))),
    ("depth", "1:3", Range(1, 3)),
    ("gates.lr", "0:1", Range(0.0, 1.0)),
])
def test_specs(name, spec, expected):
    (found,) = parse_space(Config(), {name: spec}).items()
    assert found == (name, expected)
    # 1 and 1.0 and True are equal
    domain = found[1]
    values = domain.values if isinstance(domain, Choice) else (domain.low, domain.high)
    wanted = expected.values if isinstance(expected, Choice) else (expected.low, expected.high)
    assert list(map(type, values)) == list(map(type, wanted))
    assert from_json(to_json({name: domain})) == {name: domain}


def test_values_become_what_the_config_holds():
    config = replace_leaves(Config(), {"colour": "blue", "text": "a", "gates.lr": 1,
                                       "heads": (4, 5)})
    assert config == Config(colour=Colour.BLUE, text=Path("a"), gates=Gates(1.0), heads=(4, 5))
    assert replace_leaves(Config(), {name: v for name, (_, v) in leaves(config).items()}) == config
    assert type(config.gates.lr) is float


@pytest.mark.parametrize(("vary", "message"), [
    ({}, "nothing to vary"),
    ({"estimater": "a,b"}, "unknown setting 'estimater'; did you mean 'estimator'?"),
    ({"gates.lt": "0:1"}, "unknown setting 'gates.lt'; did you mean 'gates.lr'?"),
    ({"xyz": "0:1"}, "unknown setting 'xyz'; expected one of estimator, steps"),
    ({"gates": "0,1"}, "unknown setting 'gates'"),
    ({"estimator": "loo,gumbel"},
     "estimator is 'gumbel', expected reinforce, loo, crash, die, nan, missing"),
    ({"estimator": "loo:crash"}, "estimator is 'loo:crash', expected reinforce, loo"),
    ({"lr": "0.1,x"}, "lr is 'x', expected float"),
    ({"lr": "0.1,nan"}, "lr is 'nan', expected float"),
    ({"lr": "0:inf"}, "lr is 'inf', expected float"),
    ({"lr": "0.1"}, "lr is '0.1', expected at least two values, each once"),
    ({"lr": "0.1,0.2,0.1"}, "expected at least two values, each once"),
    ({"lr": 0.1}, "lr is 0.1, expected text such as '1,2' or a list of values"),
    ({"lr": "1:1"}, "lr is '1:1', expected low < high"),
    ({"lr": "2:1"}, "lr is '2:1', expected low < high"),
    ({"lr": "0:1:log"}, "lr is '0:1:log', expected low > 0 on a logarithmic scale"),
    ({"lr": "0:1:lin"}, "lr is '0:1:lin', expected low:high or low:high:log"),
    ({"lr": "0:1:log:2"}, "expected low:high or low:high:log"),
    ({"lr": "0:"}, "lr is '', expected float"),
    ({"steps": "1:2.5"}, "steps is '2.5', expected int"),
    ({"steps": [1, 2.5]}, "steps is '2.5', expected int"),
    ({"bias": "true,1"}, "bias is '1', expected true or false"),
    ({"colour": "red,green"}, "colour is 'green', expected red, blue"),
    ({"depth": "none,x"}, "depth is 'x', expected int or none"),
    ({"heads": "1 2,x"}, "heads is 'x', expected values (int) with spaces between them"),
    ({"rates": "1 2,3"}, "rates is '3', expected 2 values (float) with spaces between them"),
    ({"pairs": "1,2"}, "pairs is tuple[tuple[int, int], ...]: a sweep varies numbers, words, boo"),
    ({"heads": "1 2"}, "heads is '1 2', expected at least two values, each once"),
])
def test_mistakes(vary, message):
    with pytest.raises(UserError) as error:
        parse_space(Config(), vary)
    assert message in str(error.value)


def test_the_last_part_of_a_name_is_enough_where_it_is_unique():
    # the whole name of a setting comes before the last part of others
    assert list(parse_space(Config(), {"lr": "0:1"})) == ["lr"]
    assert list(parse_space(Config(), {"share": "0:1"})) == ["gates.share"]
    assert list(parse_space(Config(), {"warm-up": "1:2"})) == ["gates.warm_up"]
    with pytest.raises(UserError, match=r"setting 'rate' may be gates\.rate or other\.rate: give"):
        parse_space(Config(), {"rate": "0:1"})
    with pytest.raises(UserError, match=r"setting 'gates\.share' is varied twice"):
        parse_space(Config(), {"share": "0:1", "gates.share": "0:1"})


@pytest.mark.parametrize(("asked", "message"), [
    ({"trials": 0}, "trials is 0, expected at least 1"),
    ({"seed": -1}, "seed is -1, expected at least 0"),
    ({"sampler": "best"}, "sampler is 'best', expected one of tpe, random, grid"),
    ({"sampler": "grid"}, "lr is a range, but sampler grid needs values"),
    ({"direction": "up"}, "direction is 'up', expected one of maximize, minimize"),
    ({"metric": "loss"}, "direction of the metric 'loss' is not given, expected one of maximize"),
    ({"preset": "huge"}, "preset is 'huge', expected quick, default or full"),
    ({"overrides": {"steps": 0}}, "steps is 0, expected at least 1"),
    ({"overrides": {"steps": "x"}}, "config field 'steps' is 'x', expected int"),
    ({"overrides": {"stebs": 1}}, "unknown setting 'stebs'; did you mean 'steps'?"),
])
def test_plans_that_cannot_be(asked, message):
    nothing = dict.fromkeys(("preset", "overrides", "trials", "metric", "direction", "sampler",
                             "seed"))
    with pytest.raises(UserError) as error:
        new_plan("demo", sweep_study, {"lr": "0:1"}, **(nothing | asked))
    assert message in str(error.value)
