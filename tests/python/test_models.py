"""Rows for predict() as people have them: dictionaries, lists, generators, numpy, pandas; and what is said of
those that are wrong."""

import collections
import datetime
import decimal
import itertools

import msgpack
import pytest

import drover
from drover import _batch, _models

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


# ---- samples ----

def sample(packed):
    """The columns and the outputs of a sample: name to type and values."""
    _, *both = msgpack.unpackb(packed)
    return [{column.name: (column.type, column.values) for column in _batch.decode_columns(msgpack.packb(one))}
            for one in both]


@pytest.mark.parametrize("values, want", [
    (["a", None, float("nan")], (_batch.TEXT, ["a", None, None])), ([True, False], (_batch.BOOL, [True, False])),
    ([np.int64(1), np.int32(2)], (_batch.INT64, [1, 2])), (pd.array([1, None], dtype="Int64"), (_batch.INT64, [1, None])),
    ([1, 2.5], (_batch.FLOAT64, [1.0, 2.5])), ([1.0, float("nan")], (_batch.FLOAT64, [1.0, None])),
    ([decimal.Decimal("1.5"), None], (_batch.FLOAT64, [1.5, None])), ([2**63, 1], (_batch.FLOAT64, [2.0**63, 1.0]))])
def test_columns_of_samples(values, want):
    """As a mapping, as a frame, as dictionaries and as lists."""
    labels = list(range(len(values)))
    for x in ({"c": values}, pd.DataFrame({"c": pd.Series(values, dtype=getattr(values, "dtype", object))}),
              [{"c": value} for value in values], (row for row in [[value] for value in values])):
        rows, outputs = sample(drover.export_check(None, x, labels, names=["c"]))
        assert rows == {"c": want} and outputs == {"label": (_batch.INT64, labels)}


@pytest.mark.parametrize("x, y, options, words", [
    ({"c": ["a", 1]}, [1, 2], {}, r"column 'c', rows\[1\]: a text is wanted, as in other rows, not 1"),
    ({"c": ["a", object()]}, [1, 2], {}, r"column 'c', rows\[1\]: .* not object"),
    ({"c": [1, b"a"]}, [1, 2], {}, r"column 'c', rows\[1\]: .* not bytes"),
    ({"c": ["\ud800"]}, [1], {}, r"column 'c', rows\[0\]: .*surrogate"),
    ({"c": [pd.Timestamp("2020")]}, [1], {}, r"column 'c', rows\[0\]: .* not Timestamp"),
    ([[1, 2], [3]], [1, 2], {}, r"rows\[1\]: 1 values, and 2 in the first row"),
    ([{"a": 1}, {"b": 1}], [1, 2], {}, r"rows\[1\]: a dictionary with the columns of the first"),
    ([{"a": 1}, [1]], [1, 2], {}, r"rows\[1\]: a dictionary with the columns of the first"),
    ({"a": [1], "b": [1, 2]}, [1], {}, "column 'b' has 2 rows, the columns before have 1"),
    ([[1, 2]], [1], {"names": ["a", "a"]}, "column 'a': it is there twice"),
    ([[1, 2]], [1], {"names": ["a"]}, "names: 1 for rows of 2 values"), ([[1, 2]], [1], {"names": "ab"}, "not the text 'ab'"),
    (pd.DataFrame([[1, 2]], columns=["a", "a"]), [1], {}, "column 'a': it is there twice"),
    (None, [1], {}, "not NoneType"), ("abc", [1], {}, "not str"), (np.zeros((0, 2)), [], {}, "1 to 100000 rows, not 0"),
    ([[1]], [1, 2], {}, "y: 2 outputs for 1 rows"), ([[1]], 1, {}, "y: one label a row"), ([[1]], "a", {}, "y: one label a row"),
    ([[1]], np.zeros((1, 2)), {}, "y: one label a row"), ([[1]], None, {}, "y: the outputs are wanted")])
def test_wrong_samples(x, y, options, words):
    """Said here, with the place, before a coordinator is asked."""
    with pytest.raises(drover.InvalidArgument, match=words):
        drover.export_check(None, x, y, **options)


@pytest.mark.parametrize("options, words", [
    ({"keep": "id"}, "keep: a list of columns"), ({"outputs": "label"}, "outputs: a list of columns"),
    ({"inputs": ["a"]}, "inputs: a mapping"), ({"sample": 3}, "a path or bytes are wanted, not int")])
def test_wrong_scores(options, words):
    """A text is no list of its letters."""
    with pytest.raises(drover.InvalidArgument, match=words):
        drover.score(b"model", **options)


def test_a_model_is_a_path_or_bytes():
    for call in (lambda: drover.score(None), lambda: next(_models.add_model("m", None, None, None, None, None))):
        with pytest.raises(drover.InvalidArgument, match="a path or bytes are wanted, not NoneType"):
            call()
