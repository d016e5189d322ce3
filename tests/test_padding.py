"""Padding arithmetic against its definitions and against windows counted one by one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archc.compiler.ir.padding import output_size, pads, same
from archc.compiler.language.problems import Invalid

sizes = st.integers(1, 300)
kernels = st.integers(1, 12)
strides = st.integers(1, 8)
dilations = st.integers(1, 4)
four = st.tuples(*[st.integers(0, 9)] * 4)
paddings = st.sampled_from(["same", "symmetric", "valid"]) | four


@given(sizes, kernels, strides, dilations)
def test_same_gives_one_output_for_each_begun_stride(
    size: int, kernel: int, stride: int, dilation: int
) -> None:
    before, after = same(size, kernel, stride, dilation)
    assert after - before in (0, 1)
    assert output_size("same", size, kernel, stride, dilation) == -(-size // stride)


@given(sizes, kernels, strides, dilations)
def test_same_pads_no_more_than_it_needs(
    size: int, kernel: int, stride: int, dilation: int
) -> None:
    total = sum(same(size, kernel, stride, dilation))
    reach = (kernel - 1) * dilation + 1
    last = (-(-size // stride) - 1) * stride
    assert total == 0 or last + reach == size + total


@given(paddings, sizes, kernels, strides, dilations, st.sampled_from([0, 1]))
def test_the_output_has_as_many_cells_as_windows_fit(
    padding: str | tuple[int, ...], size: int, kernel: int, stride: int, dilation: int, side: int
) -> None:
    padded = size + sum(pads(padding, size, kernel, stride, dilation, side))
    last = (kernel - 1) * dilation
    windows = sum(start + last < padded for start in range(0, padded, stride))
    if windows:
        assert output_size(padding, size, kernel, stride, dilation, side) == windows
    else:
        with pytest.raises(Invalid, match="is larger than the"):
            output_size(padding, size, kernel, stride, dilation, side)


@given(st.integers(1, 150).map(lambda half: 2 * half), st.integers(1, 6).map(lambda n: 2 * n + 1))
def test_stride_two_on_an_even_size_pads_as_the_references_do(size: int, kernel: int) -> None:
    """(k // 2 - (1 - n % 2), k // 2): keras.applications.imagenet_utils.correct_pad."""
    assert same(size, kernel, 2) == (kernel // 2 - 1, kernel // 2)


@pytest.mark.parametrize(
    ("padding", "side", "expected"),
    [
        ("same", 0, (0, 1)),
        ("symmetric", 0, (1, 1)),
        ("valid", 0, (0, 0)),
        ((1, 2, 3, 4), 0, (1, 2)),
        ((1, 2, 3, 4), 1, (3, 4)),
    ],
)
def test_pads_of_a_3x3_kernel_at_stride_2_on_224(
    padding: str | tuple[int, ...], side: int, expected: tuple[int, int]
) -> None:
    assert pads(padding, 224, 3, 2, 1, side) == expected


def test_symmetric_padding_grows_with_the_dilation() -> None:
    assert pads("symmetric", 32, 5, 1, 3, 0) == (6, 6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("valid", 4, 5), "a kernel of 5 is larger than the height 4"),
        (("valid", 8, 3, 1, 5, 1), "a kernel of 3 dilated to 11 is larger than the width 8"),
        (((1, 0, 0, 0), 2, 9), "a kernel of 9 is larger than the height 2 padded to 3"),
    ],
)
def test_a_kernel_that_does_not_fit(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(Invalid) as raised:
        output_size(*arguments)  # type: ignore[arg-type]
    assert (raised.value.code, raised.value.message) == ("E041", message)
