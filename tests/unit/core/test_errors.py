from parfocal.core import errors


def test_an_error_says_what_where_expected_and_next() -> None:
    text = str(errors.DataContractError("the mask is smaller", where="a.png", expected="640 x 480", next="redraw it"))
    assert text.splitlines() == [
        "the mask is smaller",
        "  where: a.png",
        "  expected: 640 x 480",
        "  next: redraw it",
    ]


def test_exit_codes_are_the_documented_ones() -> None:
    codes = {
        cls.__name__: cls.exit_code
        for cls in errors.ParfocalError.__subclasses__()
        if cls.__module__ == errors.__name__
    }
    assert codes == {
        "UsageError": 2,
        "DataContractError": 3,
        "GateRefusedError": 4,
        "DriftFoundError": 5,
        "OutsideServiceError": 6,
    }
