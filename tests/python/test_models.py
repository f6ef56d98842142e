"""Rows for predict() as people have them: dictionaries, lists, generators, numpy, pandas; and what is said of
those that are wrong."""

import collections
import datetime
import decimal
import itertools

import pytest

import drover
from drover import _models

np = pytest.importorskip("numpy")
pd = pytest.importorskip("pandas")

NAMES = ["age", "city"]
FRAME = pd.DataFrame({"age": [41, 7], "city": ["Brno", None]})
Person = collections.namedtuple("Person", NAMES)
NAMED = {"columns": NAMES, "rows": [[41, "Brno"], [7, None]]}
MATRIX = {"columns": None, "rows": [[1.0, 2.0], [3.0, 4.0]]}


@pytest.mark.parametrize("rows, want", [
    pytest.param(FRAME, NAMED, id="frame"),
    pytest.param(FRAME.to_dict("records"), NAMED, id="records"),
    pytest.param((row for row in FRAME.to_dict("records")), NAMED, id="generator"),
    pytest.param([row for _, row in FRAME.iterrows()], NAMED, id="series"),
    pytest.param(FRAME.itertuples(index=False), NAMED, id="itertuples"),
    pytest.param([Person(41, "Brno"), {"city": None, "age": 7}], NAMED, id="named tuple and dictionary"),
    pytest.param(np.array([[1, 2], [3, 4]], dtype="f4"), MATRIX, id="matrix"),
    pytest.param([np.array([1.0, 2.0]), (3.0, decimal.Decimal(4))], MATRIX, id="vector and tuple"),
    pytest.param((map(float, row) for row in ("12", "34")), MATRIX, id="generators in a generator"),
])
def test_rows(rows, want):
    """However they are given, the order of names or of values is kept, and missing ones are None."""
    assert _models.table(rows) == want


def test_series_keep_their_names():
    """A Series is no list: its order is its own."""
    assert _models.table([FRAME.iloc[0][["city", "age"]]]) == {"columns": ["city", "age"], "rows": [["Brno", 41]]}


@pytest.mark.parametrize("value, want", [
    (np.float32(0.5), 0.5), (np.int64(3), 3), (np.bool_(True), True), (np.str_("a"), "a"), (np.array(2), 2),
    (float("nan"), None), (np.float64("nan"), None), (pd.NA, None), (pd.NaT, None), (float("inf"), float("inf")),
    (decimal.Decimal("1.5"), 1.5), (2**63, 2.0**63), (-2**63, -2**63), ("é", "é")])
def test_cells(value, want):
    [[got]] = _models.table([[value]])["rows"]
    assert got == want and type(got) is type(want) or isinstance(value, str)


@pytest.mark.parametrize("value, words", [
    (datetime.date(2020, 1, 1), "not date"), (pd.Timestamp("2020"), "not Timestamp"),
    (np.datetime64("2020-01-01T00:00:00", "ns"), "not a time of numpy"), (1j, "not complex"), (object(), "not object"),
    ([1], "not list"), ({}, "not dict"), (np.array([1, 2]), "size 1"), ("\ud800", "surrogate"), (10**400, "too large")])
def test_wrong_cells(value, words):
    """Row and column are named."""
    with pytest.raises(drover.InvalidArgument, match=rf"rows\[1\]\.age: .*{words}"):
        _models.table([{"age": 1}, {"age": value}])
    with pytest.raises(drover.InvalidArgument, match=rf"rows\[1\]\[0\]: .*{words}"):
        _models.table([[1], [value]])


@pytest.mark.parametrize("rows, words", [
    ({"age": 1}, "not dict; one row is"), (FRAME.iloc[0], "not Series; one row is"), (None, "not NoneType"), (3, "not int"),
    ("abc", "not str"), ([1, 2], "wanted, not 1; one row is"), (np.array([1.0]), "one row is"), ([{1, 2}], "list of values"),
    ([], "not an empty one"), (iter([]), "not an empty one"), (FRAME[:0], "empty frame"),
    ([[1], {"age": 1}], r"rows\[1\]: a list"), ([{"age": 1}, [1]], r"rows\[1\]: a dictionary"),
    ([[1], "a"], r"rows\[1\]: a list"), ([{"age": 1}, {"agee": 1}], r"rows\[1\]: the column 'age' is missing"),
    ([{"\ud800": 1}], r"columns\[0\]: .*surrogate")])
def test_no_rows(rows, words):
    with pytest.raises(drover.InvalidArgument, match=words):
        _models.table(rows)


def test_endless_rows_are_not_read_to_their_end():
    """The coordinator refuses them for their number."""
    assert len(_models.table(itertools.repeat([1]))["rows"]) == _models.ROWS_MAX + 1


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), "1", True])
def test_timeouts(timeout):
    with pytest.raises(drover.InvalidArgument, match="timeout: seconds above 0"):
        next(_models.predict("m", [[1]], None, timeout))


def test_columns_are_no_text():
    """A text is a sequence of texts, too."""
    with pytest.raises(drover.InvalidArgument, match="columns: a list of names"):
        next(_models.add_model("m", b"", None, None, "age", None))


def test_what_no_message_can_hold():
    """Nothing is waited for then."""
    from drover._protocol import Request, Session
    session = Session()
    for args in ({"version": 2**70}, {"name": "\ud800"}, {"name": object()}):
        with pytest.raises(drover.InvalidArgument, match="predict: "):
            session.send(Request("predict", args))
    assert session.send(Request("predict", {}))[0] == 1
