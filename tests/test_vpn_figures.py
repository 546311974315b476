"""The figures and tables of "Variational Positive-incentive Noise" hold the numbers of their tables, and say which."""

import re

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from tutorial_lib.draw import pick
from tutorial_lib.papers.vpn import claims as vpn_claims
from tutorial_lib.papers.vpn import explorers, figures
from tutorial_lib.papers.vpn.claims import CLAIMS
from tutorial_lib.papers.vpn.cost import EACH, SHARED
from tutorial_lib.papers.vpn.figures import EXPERIMENTS
from tutorial_lib.papers.vpn.information import LOGISTIC, POSTERIOR, TRAINED
from tutorial_lib.papers.vpn.sweeps import (
    AS_PAPER,
    BLIND,
    DNN3,
    EVEN,
    FIXED,
    FROZEN,
    JOINT,
    LONGER,
    NONE,
    RANDOM,
    SHUFFLED,
    SR,
    WELL,
)
from tutorial_lib.sweep import run

ITEMS = {e.name.removeprefix("vpn/"): e for e in EXPERIMENTS}


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """Every sweep's table at `smoke`, read back from what `run` wrote."""
    out, tables = tmp_path_factory.mktemp("runs"), {}
    for experiment in EXPERIMENTS:
        if experiment.sweep.name not in tables:
            (path,) = run(experiment, [], out=out, progress=False)
            tables[experiment.sweep.name] = pd.read_csv(path)
    return tables


def twice(table, seed=0):
    """The table with a second seed, whose numbers are others."""
    draw = np.random.default_rng(seed)
    other = table.assign(seed=1, value=table["value"] * draw.uniform(0.5, 1.5, len(table)))
    return pd.concat([table, other], ignore_index=True)


def drawn(item, smoke, seeds=2, dataset="made up"):
    """An item's view of its table, with a second seed, and what is drawn of it."""
    table = smoke[ITEMS[item].sweep.name]
    table = ITEMS[item].view(twice(table) if seeds == 2 else table)
    return table, ITEMS[item].draw(table, dataset)


def lines(axis):
    """The curves of an axis by their labels: x and y."""
    return {
        line.get_label(): (np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float))
        for line in axis.lines
        if not line.get_label().startswith("_")
    }


def means(table, by, **chosen):
    """Means over seeds by a column: (values of the column, means)."""
    found = pick(table, **chosen).groupby(by)["value"].mean()
    return found.index.to_numpy(float), found.to_numpy()


def agree(line, truth):
    assert np.allclose(line[0], truth[0]) and np.allclose(line[1], truth[1]), (line, truth)


def said(values):
    values = np.asarray(values, float)
    return f"{values.mean():.2f} ± {values.std(ddof=1) / len(values) ** 0.5:.2f}"


def test_every_sweep_runs_and_every_item_shows_something(smoke):
    """An empty view, or axes that do not say what is on them."""
    assert {"table-1", "table-2", "table-3", "fig-2", "fig-3", "fig-4"} <= set(ITEMS)
    for name, experiment in ITEMS.items():
        table, drawing = drawn(name, smoke, seeds=1)
        assert len(table) and (table["seed"] == 0).all()
        if isinstance(drawing, Figure):
            axes = [axis for axis in drawing.get_axes() if axis.axison]
            assert axes and not (name != "fig-4" and any(not a.get_xlabel() for a in axes))
            if name not in ("fig-4", "scenes"):
                assert all(axis.get_ylabel() for axis in axes)
            drawing.draw_without_rendering()
        else:
            assert isinstance(drawing, pd.DataFrame) and not drawing.empty and "nan" not in drawing.to_string()
        assert experiment.title and experiment.paper_settings and experiment.item


@pytest.mark.parametrize("item", ["table-1", "table-3"])
def test_a_table_of_joint_training_has_a_row_for_each_noise(item, smoke):
    """Numbers of another kind of training or optimiser, or those with noise where "No Noise" stands."""
    table, found = drawn(item, smoke)
    several = item == "table-1"
    columns = {AS_PAPER: f"SR ({AS_PAPER})" if several else "SR", WELL: f"SR ({WELL})"}
    assert list(found) == list(columns.values())[: 2 if several else 1]
    for optimizer, column in list(columns.items())[: 2 if several else 1]:
        rows = {
            "Baseline": ("none", NONE, "accuracy, no noise"),
            "Baseline, twice as long": ("none", LONGER, "accuracy, no noise"),
            "Random": ("none", RANDOM, "accuracy, no noise"),
        }
        for generator in set(pick(table, optimizer=optimizer)["generator"]) - {"none"}:
            rows[generator] = (generator, JOINT, "accuracy")
            rows[f"{generator} (No Noise)"] = (generator, JOINT, "accuracy, no noise")
        assert len(rows) == (9 if several and optimizer == AS_PAPER else 5)
        for row in found.index:
            if row not in rows:
                assert found.loc[row, column] == ""
                continue
            generator, kind, measure = rows.pop(row)
            values = pick(table, optimizer=optimizer, generator=generator, kind=kind, measure=measure)["value"]
            assert len(values) == 2 and found.loc[row, column] == said(values)
        assert not rows
    assert list(found.index)[:3] == ["Baseline", "Baseline, twice as long", "Random"]


def test_table_2_is_of_the_fixed_base_with_noise_alone(smoke):
    """Joint training's numbers stay in the view for the claims, and out of the table."""
    table, found = drawn("table-2", smoke)
    assert set(table["kind"]) == {NONE, JOINT, FIXED}
    assert list(found.index) == ["Baseline", DNN3, "ResNet10", "DNN3, eq. (20)"]
    for generator in found.index[1:]:
        values = pick(table, optimizer=AS_PAPER, generator=generator, kind=FIXED, measure="accuracy")["value"]
        assert found.loc[generator, f"SR ({AS_PAPER})"] == said(values)


def test_views_hold_the_kinds_that_their_claims_compare(smoke):
    """A kind that the view leaves out is not measured for its claims, whatever was run."""
    joint = {NONE, LONGER, RANDOM, JOINT, BLIND, FROZEN, EVEN, SHUFFLED}
    for item in ("table-1", "table-3"):
        assert set(ITEMS[item].view(smoke[ITEMS[item].sweep.name])["kind"]) == joint
    views = {item: set(ITEMS[item].view(smoke["vpn/curves"])["m"]) for item in ("fig-2", "fig-3")}
    assert views == {"fig-2": {0, 1}, "fig-3": {1, 2}}


@pytest.mark.parametrize(
    ("item", "dataset", "base", "rows"),
    [
        ("table-1", "fashion-mnist", "ResNet34", {
            "Baseline": "90.86", "Random": "91.61", "DNN3": "91.97", "DNN3 (No Noise)": "92.06", "ResNet18": "86.92",
            "ResNet18 (No Noise)": "87.03"}),
        ("table-1", "cifar-10", "ResNet34", {
            "Baseline": "80.88", "Random": "77.06", "DNN3": "83.60", "DNN3 (No Noise)": "83.78", "ResNet18": "74.29",
            "ResNet18 (No Noise)": "70.95"}),
        ("table-2", "cifar-10", "DNN3", {"Baseline": "46.92", "DNN3": "47.30", "ResNet18": "47.35"}),
        ("table-3", "tiny-imagenet", "ResNet50", {
            "Baseline": "34.03", "Random": "35.21", "DNN3": "35.92", "DNN3 (No Noise)": "36.62", "ResNet18": "34.64",
            "ResNet18 (No Noise)": "34.64"}),
    ],
)  # fmt: skip
def test_the_papers_numbers_stand_beside_ours_where_it_has_the_data_set(item, dataset, base, rows, smoke):
    """Another table's or data set's, or a row with noise in the place of one without."""
    _, found = drawn(item, smoke, dataset=dataset)
    paper = found[f"{base}, paper"]
    assert paper[paper != ""].to_dict() == rows
    assert len([c for c in found if c.endswith(", paper")]) == (3 if item == "table-3" else 4)
    _, found = drawn(item, smoke, dataset="digits")
    assert not any("paper" in column for column in found)


def test_rules_find_their_settings_in_the_tables_that_sweeps_make(smoke, monkeypatch):
    """A kind, measure or setting that is spelt in one way here and in another there is never measured."""
    monkeypatch.setattr(vpn_claims, "LEARNED", 0.0)  # one epoch on sixty digits
    several = {f"SR, generator {g}" for g in (DNN3, "ResNet10", "DNN3, eq. (20)")}
    one, maps = {f"SR, generator {DNN3}"}, {JOINT, FIXED}
    wanted = {
        "joint-promotes": several, "fixed-promotes": several, "well-trained-promotes": one, "more-than-longer": several,
        "no-noise-at-test": several, "m-same-end": {"SR, m = 2"}, "m-faster": {"SR, m = 2"},
        "blurs-background": maps, "looks-at-the-image": maps, "on-the-ink": maps, "follows-the-derivative": maps,
        "sr-wants-none": several, "blind-as-good": one, "learned-over-even": one, "learned-over-shuffled": one,
        "fixed-over-even": several, "information-reached": {"ratio 4"},
        "bound-and-gap": {f"{q}, ratio 4" for q in (POSTERIOR, LOGISTIC, TRAINED)},
        **{key: {"at the paper's γ"} for key in ("uses-its-label", "agrees-with-argmax", "favours-no-class")},
        # one base has no spread, one epoch no change to the next, and there is no ResNet34
        **dict.fromkeys(("random-less-stable", "dnn3-stabler", "fixed-stabler"), frozenset()),
        **dict.fromkeys(("m-smoother", "tiny-stable", "over-4"), frozenset()),
    }  # fmt: skip
    claims = {claim.id: claim for claim in CLAIMS if claim.experiment}
    assert set(claims) == set(wanted)
    for id, claim in claims.items():
        item = ITEMS[claim.experiment.removeprefix("vpn/")]
        found = claim.rule(item.view(smoke[item.sweep.name])).dropna(subset="margin")
        assert set(found["setting"]) == wanted[id], id
        if id == "bound-and-gap":
            assert (found["margin"].abs() < claim.delta / 2).all()  # as the table is written, with six digits


def test_one_seed_has_no_error(smoke):
    """A standard error of one run would be NaN, and one of 0 a lie."""
    _, found = drawn("table-3", smoke, seeds=1)
    assert all(re.fullmatch(r"\d+\.\d\d", cell) for cell in found["SR"])


@pytest.mark.parametrize(("item", "names"), [("fig-2", ["no noise", "m = 1"]), ("fig-3", ["m = 1", "m = 2"])])
def test_curves_are_means_by_epoch(item, names, smoke):
    """A curve of another m or another measure under the label; and figures 2 and 3 hold other curves."""
    table, figure = drawn(item, smoke)
    longer = pd.concat([table.assign(x=x, value=table["value"] + x) for x in (3, 1, 2)])  # epochs in no order
    for rows, drawing in ((table, figure), (longer, ITEMS[item].draw(longer, "made up"))):
        labels = ("loss", "training accuracy", "accuracy")
        axes = [axis for axis in drawing.get_axes() if axis.axison]
        for axis, measure in zip(axes, labels, strict=True):
            assert list(lines(axis)) == names and axis.get_xlabel() == "epoch"
            for name, line in lines(axis).items():
                m = 0 if name == "no noise" else int(name[-1])
                agree(line, means(rows, "x", measure=measure, m=m))
        assert [a.get_ylabel() for a in axes] == [
            "loss that is trained on (nats)", "training accuracy (%)", "test accuracy (%)",
        ]  # fmt: skip
        assert drawing.get_axes()[0].get_legend().get_title().get_text() == "SR on made up, 2 seeds"


def test_figure_4_shows_the_images_of_its_table(smoke):
    """A map beside another image, rows exchanged, or the number under a map not the map's."""
    table, figure = drawn("fig-4", smoke, seeds=1)
    axes = np.array(figure.get_axes()).reshape(2, 3, -1)  # kinds, rows, images
    count = int(table["x"].max()) + 1
    assert axes.shape == (2, 3, count) and count == 5
    for part, kind in zip(axes, (JOINT, FIXED), strict=True):
        for k in range(count):
            for axis, measure in zip(part[:, k], ("image", "variance", "noisy"), strict=True):
                (row,) = pick(table, kind=kind, measure=measure, x=k).itertuples()
                (shown,) = axis.get_images()
                assert np.array_equal(np.asarray(shown.get_array()), figures.decoded(row.text))
                assert shown.get_clim() == (0, 255)
                assert axis.get_xlabel() == (f"{row.value:.2g}" if measure == "variance" else "")
        assert [axis.get_ylabel() for axis in part[:, 0]] == ["image", "variance", "noisy"]
    assert [s.get_suptitle().split(";")[0] for s in figure.subfigs] == [JOINT, FIXED]
    assert len({axes[0, 0, k].get_images()[0].get_array().data.tobytes() for k in range(count)}) == count


def test_coloured_maps_are_means_over_channels(smoke):
    """A heat map has a number a pixel; the images keep their colours."""
    table, _ = drawn("scenes", smoke, seeds=1)
    pictures = ITEMS["fig-4"].draw(table, "scenes")
    first = np.array(pictures.get_axes()).reshape(2, 3, -1)[0, :, 0]
    image, variance, noisy = (np.asarray(a.get_images()[0].get_array()) for a in first)
    text = pick(table, kind=JOINT, x=0).set_index("measure")["text"]
    assert image.shape == noisy.shape == (16, 16, 3) and np.array_equal(image, figures.decoded(text["image"]))
    assert np.allclose(variance, figures.decoded(text["variance"]).mean(-1)) and variance.shape == (16, 16)


def test_shares_and_correlations_by_kind(smoke):
    """A share under another one's name; chance and the other images' share are what it is held against."""
    table, figure = drawn("scenes", smoke)
    left, right = figure.get_axes()
    assert left.get_xlabel() == "noise on the background (% of its variance)"
    assert right.get_xlabel() == "correlation over pixels"
    for axis, measures in (
        (left, ("background", "background, place", "background, area")),
        (right, ("edges", "gradient", "derivative")),
    ):
        assert len(axis.containers) == 2 and len(axis.get_yticks()) == 3
        for container, kind in zip(axis.containers, (JOINT, FIXED), strict=True):
            assert container.get_label() == kind
            line, _, (bars,) = container.lines
            for k, measure in enumerate(measures):
                values = pick(table, kind=kind, measure=measure)["value"].to_numpy()
                assert line.get_xdata()[k] == pytest.approx(values.mean(), rel=1e-6)
                assert abs(line.get_ydata()[k] - k) < 0.3
                ends = bars.get_segments()[k][:, 0]
                assert np.ptp(ends) / 2 == pytest.approx(values.std(ddof=1) / 2**0.5, rel=1e-6)
    assert [t.get_text() for t in left.get_yticklabels()] == ["learned noise", "the same maps on other images", "even"]
    assert right.get_yticklabels()[0].get_text().endswith("edges")


def test_the_bound_and_its_gap_over_the_ratio_of_widths(smoke):
    """Bounds under other names, or I(T, E) and H(T) of another table."""
    base = smoke["vpn/bound"]
    table = twice(pd.concat([base, base.assign(ratio=1.0, value=base["value"] / 3)], ignore_index=True))
    exact = ("H(T)", "I(T, E)")
    for measure in exact:  # do not depend on seeds
        table.loc[table["measure"] == measure, "value"] = table["ratio"] / 10 if measure == exact[1] else 0.6
    left, right = ITEMS["bound"].draw(table, "none").get_axes()
    found = lines(left)
    assert set(found) == {POSTERIOR, LOGISTIC, TRAINED, "I(T, E)"} and set(lines(right)) == set(found) - {"I(T, E)"}
    for q in (POSTERIOR, LOGISTIC, TRAINED):
        agree(found[q], means(table, "ratio", measure="bound", q=q))
        agree(lines(right)[q], means(table, "ratio", measure="gap", q=q))
    agree(found["I(T, E)"], (np.array([1.0, 4.0]), np.array([0.1, 0.4])))
    (entropy,) = [line for line in left.lines if line.get_linestyle() == ":" and line.get_label().startswith("_")]
    assert np.allclose(entropy.get_ydata(), 0.6)
    for axis in (left, right):
        assert "label 1" in axis.get_xlabel() and axis.get_ylabel() == "nats" and axis.get_xscale() == "log"


def test_labels_over_gamma(smoke):
    """All measures of a kind in one panel, and each under its own name."""
    table, figure = drawn("label", smoke)
    panels = [
        {"change": "change"},
        {
            "Algorithm 2": "accuracy",
            "no noise": "accuracy, no noise",
            "noise for the right label": "accuracy, own label",
        },
        {"Algorithm 2": "agreement", "noise for label 0, always": "agreement, one noise"},
        {"noise for this label": "follows", "noise for another wrong one": "follows, chance"},
    ]
    for axis, measures in zip(figure.get_axes(), panels, strict=True):
        found = lines(axis)
        assert set(found) == set(measures) and axis.get_xlabel() == "γ" and "%" in axis.get_ylabel()
        assert axis.get_xscale() == "symlog"  # γ = 0 has a place
        for name, measure in measures.items():
            agree(found[name], means(table, "gamma", measure=measure))
        colours = [line.get_color() for line in axis.lines]
        assert len(set(colours)) == len(colours)


def test_baselines_by_optimiser(smoke):
    """Training accuracies in the place of test accuracies, or the paper's where it has none."""
    table, found = drawn("baselines", smoke, dataset="cifar-10")
    for optimizer in table["optimizer"].unique():
        values = pick(table, measure="accuracy", optimizer=optimizer)["value"]
        assert found.loc[optimizer, SR] == said(values)
    assert found.loc["the paper"].to_dict() == {SR: "39.08", DNN3: "46.92", "ResNet18": "79.51", "ResNet34": "80.88"}
    assert "the paper" not in drawn("baselines", smoke, dataset="digits")[1].index
    assert len(found) == 4


def test_cost_over_m(smoke):
    """Times of a prediction among those of updates, or the two ways exchanged."""
    base = smoke["vpn/cost"]
    table = twice(pd.concat([base, base.assign(base=DNN3, value=2 * base["value"])], ignore_index=True))
    (axis,) = ITEMS["cost"].draw(table, "made up").get_axes()
    found = lines(axis)
    assert set(found) == {f"{b}: {way}" for b in (SR, DNN3) for way in (SHARED, EACH)}
    for name, line in found.items():
        b, way = name.split(": ")
        agree(line, means(table, "x", measure="update", base=b, way=way))
    assert [t.get_text() for t in axis.get_xticklabels()] == ["1", "2"]
    assert "m" in axis.get_xlabel() and "updates without noise" in axis.get_ylabel()


def test_decoded_images_keep_rows_columns_and_channels():
    """Bytes come channel by channel, rows first."""
    import base64

    values = np.arange(48, dtype=np.uint8).reshape(3, 4, 4)
    found = figures.decoded(base64.b64encode(values.tobytes()).decode())
    assert found.shape == (4, 4, 3) and found[1, 2].tolist() == [6, 22, 38]
    found = figures.decoded(base64.b64encode(values[0].tobytes()).decode())
    assert found.shape == (4, 4) and found[1, 2] == 6


def test_the_explorer_of_tables_shows_ours_and_the_papers(smoke, monkeypatch):
    """A gain over another base's or another optimiser's baseline, the paper's numbers under the wrong table, or a way
    of testing that takes the other's accuracies."""
    views = {f"vpn/table-{k}": ITEMS[f"table-{k}"].view(twice(smoke["vpn/training"])) for k in (1, 2)}
    monkeypatch.setattr(explorers, "shipped_tables", lambda name: [{"dataset": "digits", "budget": "smoke"}])
    monkeypatch.setattr(explorers, "read_table", lambda name, dataset, budget: views[name])
    found = explorers.accuracies()
    ours = pick(found, source="ours (smoke)", optimizer=AS_PAPER, base="SR")
    for item, kind, test, measure in (
        ("1: trained jointly", JOINT, "with noise", "accuracy"),
        ("1: trained jointly", JOINT, "without noise", "accuracy, no noise"),
        ("2: on a fixed base", FIXED, "with noise", "accuracy"),
    ):
        part = pick(ours, item=item, test=test).set_index("noise")
        rows = pick(views[f"vpn/table-{item[0]}"], optimizer=AS_PAPER, base="SR", measure=measure)
        alone = pick(rows, kind=NONE).set_index("seed")["value"]
        for noise in (DNN3, "ResNet10", "DNN3, eq. (20)"):
            values = pick(rows, kind=kind, generator=noise).set_index("seed")["value"]
            assert part.loc[noise, "value"] == pytest.approx(values.mean(), abs=0.006)
            assert part.loc[noise, "gain"] == pytest.approx((values - alone).mean(), abs=0.006)
            assert (
                part.loc[noise, "sem"] == pytest.approx((values - alone).sem(), abs=0.006)
                and part.loc[noise, "seeds"] == 2
            )
        assert part.loc[NONE, "gain"] == 0 and (RANDOM in part.index) == (item[0] == "1")
    printed = pick(found, source="the paper", dataset="cifar-10", base="ResNet34").set_index(["item", "test", "noise"])
    assert printed.loc[("1: trained jointly", "with noise", "ResNet18"), ["value", "gain"]].tolist() == [74.29, -6.59]
    assert printed.loc[("1: trained jointly", "without noise", "ResNet18"), "value"] == 70.95
    assert printed.loc[("1: trained jointly", "with noise", "random"), "value"] == 77.06
    assert printed.loc[("2: on a fixed base", "with noise", "ResNet18"), ["value", "gain"]].tolist() == [82.56, 1.68]
    keys = ["source", "dataset", "optimizer", "item", "test", "base", "noise"]
    assert not found.duplicated(keys).any() and set(found["item"]) == {"1: trained jointly", "2: on a fixed base"}
    page = explorers.tables().html
    assert "data:image/png" in page and "74.29" in page and len(page) < 200_000
