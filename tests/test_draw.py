"""What every wing's tables and figures share: the numbers behind lines and bands, and the size of pictures."""

import io

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from tutorial_lib.draw import (
    OKABE_ITO,
    curves,
    in_order,
    mean_and_sem,
    panels,
    pick,
    seeds_of,
    small_png,
    with_columns,
)


def measured(seeds=4):
    """Two kinds over three x, a value a seed."""
    draw = np.random.default_rng(0)
    return pd.DataFrame(
        [{"kind": kind, "x": x, "seed": seed, "value": draw.normal(), "other": draw.normal()}
         for seed in range(seeds) for x in (0.0, 1.0, 2.0) for kind in ("a", "b")]
    )  # fmt: skip


# --- tables


def test_mean_and_standard_error_against_numpy():
    """Deviations that divide by n, or groups mixed up, would make every band in the book wrong."""
    table = measured()
    found = mean_and_sem(table, ["kind", "x"])
    assert list(found) == ["kind", "x", "value", "sem", "seeds"] and len(found) == 6
    for row in found.itertuples():
        values = table.query("kind == @row.kind and x == @row.x")["value"].to_numpy()
        assert row.value == pytest.approx(values.mean())
        assert row.sem == pytest.approx(values.std(ddof=1) / np.sqrt(4))
        assert row.seeds == 4


def test_mean_and_standard_error_of_another_column():
    table = measured()
    found = mean_and_sem(table, ["kind"], "other")
    assert found["other"].tolist() == pytest.approx(table.groupby("kind")["other"].mean().tolist())
    assert "value" not in found and found["seeds"].tolist() == [12, 12]


def test_one_seed_has_no_standard_error():
    """Zero would be a band of no width: certainty from one run."""
    found = mean_and_sem(measured(seeds=1), ["kind", "x"])
    assert found["sem"].isna().all() and (found["seeds"] == 1).all()


def test_groups_without_a_setting_are_kept():
    """A baseline has no σ: dropped with its NaN, it would vanish from the figures."""
    found = mean_and_sem(pd.DataFrame({"sigma": [np.nan, np.nan, 0.1], "value": [1.0, 3.0, 5.0]}), ["sigma"])
    assert found["value"].tolist() == [5.0, 2.0] and found["seeds"].tolist() == [1, 2]


def test_seeds_are_counted_once():
    """A title that counted rows would claim more runs than there were."""
    assert seeds_of(pd.DataFrame({"seed": [3, 3, 3]})) == "1 seed"
    assert seeds_of(measured(seeds=2)) == "2 seeds"


def test_pick_takes_the_rows_that_have_every_value():
    """One condition of several unheeded, or a list taken for a value."""
    table = measured()
    found = pick(table, kind="a", x=[0.0, 2.0], seed=1)
    assert found.equals(table.query("kind == 'a' and x != 1 and seed == 1")) and len(found) == 2
    assert pick(table).equals(table)
    assert pick(table, kind="c").empty and pick(table, kind=[]).empty


def test_pick_from_a_column_that_is_not_there_finds_nothing():
    """A written table has no empty columns: where no row has a layer, none has layer 0."""
    table = measured()
    found = pick(table, layer=0, kind="a")
    assert found.empty and list(found) == [*table, "layer"]
    assert list(table) == ["kind", "x", "seed", "value", "other"]  # the table itself is left as it was


def test_columns_that_are_there_are_left_alone():
    """Doubled or emptied, they would change every figure."""
    table = measured()
    found = with_columns(table, "kind", "layer", "text")
    assert list(found) == [*table, "layer", "text"] and found[list(table)].equals(table)
    assert found[["layer", "text"]].isna().all(axis=None)
    assert (found.dtypes[list(table)] == table.dtypes).all()


def test_in_order_sorts_and_leaves_out():
    """Colours follow the order of the rows; what is not named is not shown."""
    table = pd.DataFrame({"a": ["x", "y", "z", "x"], "k": [0, 1, 2, 3]})
    found = in_order(table, "a", ["z", "x"])
    assert found["a"].tolist() == ["z", "x", "x"] and found["k"].tolist() == [2, 0, 3]
    assert found.index.tolist() == [0, 1, 2]


def test_colours_are_those_of_okabe_and_ito():
    """Black, orange, sky blue, bluish green, blue, vermilion, reddish purple; grey instead of the pale yellow."""
    rgb = [(0, 0, 0), (230, 159, 0), (86, 180, 233), (0, 158, 115), (0, 114, 178), (213, 94, 0), (204, 121, 167)]
    assert [tuple(bytes.fromhex(colour[1:])) for colour in OKABE_ITO] == [*rgb, (153, 153, 153)]


# --- figures


@pytest.mark.parametrize(
    ("count", "columns", "rows"), [(1, 1, 1), (1, 2, 1), (2, 2, 1), (3, 2, 2), (4, 2, 2), (7, 3, 3)]
)
def test_panels_are_as_many_as_asked_for_and_the_rest_is_blank(count, columns, rows):
    """An empty frame beside the last panel, or a row too many."""
    figure, axes = panels(count, columns)
    assert len(axes) == rows * columns == len(figure.axes)
    assert [axis.axison for axis in axes] == [True] * count + [False] * (rows * columns - count)
    grid = axes[0].get_subplotspec().get_gridspec()
    assert (grid.nrows, grid.ncols) == (rows, columns)
    assert figure.get_size_inches() == pytest.approx([3.4 * columns, 2.9 * rows + 0.3])


def test_panels_have_the_height_that_is_asked_for_and_room_between_them():
    """By default two in a row; labels of one panel must not run into the next."""
    figure, axes = panels(3, height=2.0)
    assert len(axes) == 4 and figure.get_size_inches() == pytest.approx([6.8, 4.3])
    engine = figure.get_layout_engine().get()
    assert (engine["h_pad"], engine["w_pad"]) == (0.1, 0.06)


STYLES = {
    "b": {"color": "#0072B2", "ls": "--", "marker": "o"},
    "absent": {"color": "#D55E00"},
    "a": {"color": "#000000"},
}


def drawn(table, **labels):
    axis = Figure().subplots()
    curves(axis, table, STYLES, "kind", **labels)
    return axis


def test_curves_are_means_with_a_band_of_one_standard_error():
    """A line of another series, or a band of deviations, two errors, or the wrong side."""
    table = measured()
    axis = drawn(table, xlabel="σ", ylabel="accuracy", title="T")
    assert [line.get_label() for line in axis.lines] == ["b", "a"]  # in the order of the styles; what is absent is not
    for line, band, name in zip(axis.lines, axis.collections, ("b", "a"), strict=True):
        values = table[table["kind"] == name].pivot_table(index="x", columns="seed", values="value").to_numpy()
        mean, sem = values.mean(1), values.std(1, ddof=1) / 2
        np.testing.assert_allclose(line.get_xydata(), np.column_stack([[0, 1, 2], mean]))
        corners = {tuple(corner) for corner in band.get_paths()[0].vertices.round(9)}
        for side in (-1, 1):
            assert {(x, y) for x, y in zip([0, 1, 2], (mean + side * sem).round(9), strict=True)} <= corners
        assert to_hex(band.get_facecolor()[0]) == line.get_color().lower() == STYLES[name]["color"].lower()
    assert (axis.lines[0].get_linestyle(), axis.lines[0].get_marker()) == ("--", "o")
    assert (axis.get_xlabel(), axis.get_ylabel(), axis.get_title()) == ("σ", "accuracy", "T")


def test_bands_are_pale_and_have_no_rim():
    """Opaque bands hide the lines of others."""
    axis = drawn(measured())
    assert {band.get_alpha() for band in axis.collections} == {0.2}
    assert {tuple(band.get_linewidth()) for band in axis.collections} == {(0,)}
    assert {(line.get_linewidth(), line.get_markersize()) for line in axis.lines} == {(1.5, 4)}


def test_a_long_line_has_about_six_markers_and_a_short_one_all():
    """Eighty markers in a row are a smear."""
    long = pd.DataFrame({"kind": "a", "x": np.arange(80.0), "seed": 0, "value": 1.0})
    assert drawn(long).lines[0].get_markevery() == 13
    assert drawn(measured()).lines[0].get_markevery() == 1


def test_curves_over_another_column():
    table = measured().rename(columns={"x": "epoch"})
    axis = Figure().subplots()
    curves(axis, table, STYLES, "kind", x="epoch")
    assert axis.lines[0].get_xdata().tolist() == [0, 1, 2]


def picture():
    """A figure with hundreds of shades."""
    figure = Figure(figsize=(5, 3))
    axis = figure.subplots()
    axis.imshow(np.linspace(0, 1, 400).reshape(20, 20), cmap="viridis")
    return figure


@pytest.mark.parametrize(("options", "width", "colours"), [({}, 640, 48), ({"width": 320, "colours": 8}, 320, 8)])
def test_small_png_has_the_width_and_the_colours(options, width, colours):
    """Pages carry dozens of them: twice the width is four times the bytes."""
    content = small_png(picture(), **options)
    image = Image.open(io.BytesIO(content))
    assert image.format == "PNG" and image.mode == "P"
    assert 0.55 * width < image.width <= 1.05 * width  # margins are cut off, and a little put back
    assert colours / 2 < len(image.getcolors(maxcolors=1000)) <= colours


def test_small_png_shows_what_was_drawn_and_says_nothing_of_the_machine():
    """White paper, yellow and violet ends; the software's version would change the file with every update."""
    content = small_png(picture())
    image = Image.open(io.BytesIO(content))
    assert image.info.get("Software") is None and b"matplotlib" not in content.lower()
    shades = [colour for _, colour in image.convert("RGB").getcolors(maxcolors=1000)]
    for truth in ((255, 255, 255), (68, 1, 84), (253, 231, 37)):
        assert min(max(abs(a - b) for a, b in zip(truth, shade, strict=True)) for shade in shades) < 40
    assert small_png(picture()) == content


def test_small_png_is_smaller_than_the_whole():
    full = io.BytesIO()
    figure = picture()
    figure.savefig(full, format="png", dpi=640 / 5, bbox_inches="tight")
    assert len(small_png(figure)) < 0.7 * len(full.getvalue())
    plain = io.BytesIO()
    Image.open(io.BytesIO(small_png(figure))).save(plain, format="png")
    assert len(small_png(figure)) < len(plain.getvalue())  # packed as tightly as PNG allows


def test_small_png_has_640_pixels_and_48_colours_if_nothing_is_said():
    assert small_png(picture()) == small_png(picture(), 640, 48)
