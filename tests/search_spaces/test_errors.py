from search_spaces.errors import unknown_name


def test_a_long_list_of_names_is_cut_short() -> None:
    """The nearest name is found among all of them."""
    error = unknown_name("A study", "m11", [f"n{i}" for i in range(11)] + ["m12"], limit=10)
    assert str(error) == (
        "A study must be one of n0, n1, n2, n3, n4, n5, n6, n7, n8, n9, and 2 more, but got 'm11'. Did you mean 'm12'?"
    )
    assert "more" not in str(unknown_name("A study", "x", ["a"], limit=10))
