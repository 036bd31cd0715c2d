"""What the lines of `benchmarks.reproduce_stg_mtl` say: tables, claims of the paper, pictures."""

import json
from itertools import groupby

import numpy as np
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score

from benchmarks.evidence import interval
from benchmarks.result_file import ResultFile

SETTING = ("task_set", "data", "net", "recipe", "weights", "flips", "n_train", "n_test", "n_scored")
SETTING += ("image_size", "epochs", "batch_size", "fuzziness", "spread", "device")
#: What lines from before do not say.
UNSAID = {"device": "cpu", "recipe": "paper", "weights": "balanced", "flips": False}
UNSAID |= {"spread": "population"}
#: What one and the same specialists give, combined in other ways.
COMBINED = {
    "grouped, logits": "by memberships, the logits instead of the probabilities",
    "grouped, uniform": "with equal weights",
    "grouped, strongest": "each task by the specialist of its highest membership",
}
TOGETHER = ("people", "trees", "flowers", "food_containers", "household_electrical_devices")
#: Superclasses that the paper sees come together in 10 clusters.
MERGED = (
    ("fruit_and_vegetables",),
    ("household_electrical_devices", "household_furniture"),
    ("large_carnivores", "large_omnivores_and_herbivores", "medium_mammals"),
)
ANIMALS = ("bird", "cat", "deer", "dog", "frog", "horse")
FLOWERS = ("orchid", "poppy", "rose", "tulip")


def result_file(path):
    return ResultFile(path, "reproduce_stg_mtl")


def key_of(line):
    line = {**UNSAID, **line}
    own = (line.get(name) for name in ("kind", *SETTING, "seed", "way", "source", "n_clusters"))
    return tuple(own)


def by_setting(lines):
    """Pairs of a setting and its lines."""

    def setting(line):
        line = {**UNSAID, **line}
        return json.dumps([line[name] for name in SETTING])

    for key, own in groupby(sorted(lines, key=setting), key=setting):
        yield dict(zip(SETTING, json.loads(key), strict=True)), list(own)


def title(setting):
    text = (
        "{task_set}, {net}, {n_train:,} training images, {epochs} epochs of batches of "
        "{batch_size}, {n_test:,} test images, fuzziness {fuzziness:g}"
    ).format(**setting)
    apart = {
        "recipe": "{recipe} recipe",
        "weights": "{weights} weights",
        "flips": "half of the images flipped",
        "spread": "spread of a {spread}",
        "device": "{device}",
    }
    return ", ".join(
        [text, *(w.format(**setting) for x, w in apart.items() if setting[x] != UNSAID[x])]
    )


def last_scores(lines):
    """{(way, n_clusters): {seed: mean test F1 after the last epoch}}."""
    found = {}
    for line in lines:
        if line["kind"] == "scores":
            of_way = found.setdefault((line["way"], line["n_clusters"]), {})
            of_way[line["seed"]] = line["test"][-1]
    return found


def spread(values):
    values = np.array([*values])
    sd = f" ± {values.std(ddof=1):.3f}" if len(values) > 1 else ""
    return f"{values.mean():.3f}{sd}"


def difference(ours, theirs):
    mean, width = interval(ours, theirs)
    return f"{mean:+.3f}" + ("" if np.isnan(width) else f" ± {width:.3f}")


def table(lines):
    """Markdown: F1 of every way, and grouped beside the others, paired over seeds."""
    out = []
    for setting, own in by_setting(lines):
        scores = last_scores(own)
        if len(scores) < 2:
            continue
        nets = {(x["way"], x["n_clusters"]): x["nets"] for x in own if x["kind"] == "scores"}
        seeds = sorted({line["seed"] for line in own})
        out += [f"\n**{title(setting)}**, seeds {seeds}\n"]
        out += ["| | test F1 | nets trained | grouped is better by |", "|---|---|---|---|"]
        for (way, k), of_seed in sorted(scores.items(), key=lambda item: item[0][1]):
            best = scores.get(("grouped", k))
            if k == 0:
                of_k = [(c, s) for (w, c), s in scores.items() if w == "grouped"]
                beside = "; ".join(f"{c}: {difference(s, of_seed)}" for c, s in of_k)
            else:
                beside = "" if way == "grouped" or not best else difference(best, of_seed)
            name = way if k == 0 else f"{way}, {k}"
            out.append(f"| {name} | {spread(of_seed.values())} | {nets[way, k]} | {beside} |")
    return "\n".join(out)


def claims(lines):
    """Markdown: each claim of the paper, whether it held, and the figures.

    Claims about groups hold or not for each seed:

    - tasks of a superclass together, superclasses merge: more than half of these tasks are in one
      cluster, which is rarer than 1 in 20 where the labels are dealt out to the tasks at random
      (p < .05 of 1,000 draws). No other claim is set beside chance.
    - animals from vehicles: the clusters are exactly these; among the ten classes of G2, and with
      more clusters: no cluster is the strongest of an animal and of a vehicle.
    - cat, dog, horse apart from bird, deer, frog: no cluster is the strongest of both kinds.
    - sunflower apart: in another cluster than most of the other flowers, of which most have their
      second highest membership in its cluster.
    - Random has a cluster of its own: it is no other task's strongest cluster.
    - the same memberships: they are at most .02 apart, or at most 5 % of the pairs of tasks are
      nearer than that.
    - similar groups: an adjusted Rand index above .5.

    Claims about F1 are about the 95 % interval over seeds: "above" holds if all of it is above 0,
    does not if all of it is below, and is open otherwise; "similar" holds if all of it is within
    .02 of 0, does not if none of it is, and is open otherwise.
    """
    out = ["| claim | held | here |", "|---|---|---|"]

    def add(claim, held, figures):
        out.append(f"| {claim} | {held} | {figures} |")

    def count(claim, found, figures):
        if found:
            held = "yes" if all(found) else "no" if not any(found) else "in part"
            add(claim, f"{held} ({sum(found)} of {len(found)} seeds)", figures)

    for setting, own in by_setting(lines):
        out.append(f"| **{title(setting)}** | | |")
        groups = [line for line in own if line["kind"] == "groups"]
        for k in sorted({line["n_clusters"] for line in groups}):
            of_k = [x for x in groups if (x["n_clusters"], x["source"]) == (k, "mtl")]
            claims_of_groups(setting["task_set"], k, of_k, count)
            ours, of_stl = groups_of(own, k, "mtl"), groups_of(own, k, "stl")
            similar(f"{k} clusters: MTL and STL maps find similar groups", ours, of_stl, count)
            if setting["net"] == "small-cnn" and ours:
                claim = f"{k} clusters: ResNet-18 finds similar groups"
                apart, theirs = nearest_resnet18(setting, k, ours, lines)
                if theirs is None:
                    add(claim, "not run", "")
                else:
                    similar(claim + apart, ours, theirs, count)
        claims_of_scores(setting["task_set"], last_scores(own), add)
    return "\n".join(out)


def groups_of(lines, k, source):
    """{seed: line} of the groups of one setting."""
    return {
        x["seed"]: x
        for x in lines
        if x["kind"] == "groups" and (x["n_clusters"], x["source"]) == (k, source)
    }


def nearest_resnet18(setting, k, ours, lines):
    """In what the setting of ResNet-18 that is most like one of small-cnn is another, in words,
    and its groups; None if no setting of the task set has any of the same seeds."""
    found = []
    for other, its_lines in by_setting(lines):
        theirs = groups_of(its_lines, k, "mtl")
        if (other["net"], other["task_set"]) == ("resnet18", setting["task_set"]) and (
            set(ours) & set(theirs)
        ):
            apart = [f"{x} {other[x]}" for x in SETTING if x != "net" and other[x] != setting[x]]
            found.append((apart, theirs))
    apart, theirs = min(found, key=lambda pair: len(pair[0]), default=([], None))
    return f", with {', '.join(apart)}" if apart else "", theirs


def claims_of_groups(task_set, k, lines, count):
    """What the paper says of the groups of one task set; `lines` of one setting, a seed each."""
    if task_set == "G2":
        beside = [beside_task(line, "random") for line in lines]
        words = [
            ", ".join(found[:4]) + f" and {len(found) - 4} more" * (len(found) > 4)
            for found in beside
        ]
        count(
            f"{k} clusters: Random has a cluster of its own",
            [not found for found in beside],
            "it is with " + "; ".join(found or "none" for found in words),
        )
        ranks = [gap_rank(line, "living being", "not living being") for line in lines]
        count(
            f"{k} clusters: Living and Not living have the same memberships",
            [gap <= 0.02 or rank <= 0.05 for rank, gap in ranks],
            "difference (share of pairs of tasks that are nearer): "
            + ", ".join(f"{gap:.3f} ({rank:.2f})" for rank, gap in ranks),
        )
    if task_set == "G1" and k == 2:
        animals = [name in ANIMALS for name in lines[0]["names"]]
        agreement = [adjusted_rand_score(animals, line["labels"]) for line in lines]
        count(
            "2 clusters: animals from vehicles",
            [value == 1 for value in agreement],
            "adjusted Rand index " + ", ".join(f"{value:.2f}" for value in agreement),
        )
    if task_set in ("G1", "G2"):
        if (task_set, k) != ("G1", 2):
            claim = f"{k} clusters: no animal with a vehicle"
            claim += " among the ten classes" * (task_set == "G2")
            parted(claim, ANIMALS, ("airplane", "automobile", "ship", "truck"), lines, count)
        if k > 2:
            claim = f"{k} clusters: cat, dog, horse apart from bird, deer, frog"
            parted(claim, ("cat", "dog", "horse"), ("bird", "deer", "frog"), lines, count)
    if task_set == "G3" and k == 20:
        for name in TOGETHER:
            merged(f"20 clusters: {name} mostly together", (name,), lines, count)
        merged("20 clusters: vehicles 1 and 2 merge", ("vehicles_1", "vehicles_2"), lines, count)
        found = [sunflower(line) for line in lines]
        count(
            "20 clusters: sunflower apart from the other flowers, and next to them",
            [apart and near > 0.5 for apart, near in found],
            "; ".join(f"{'apart' if a else 'together'}, next to {n:.0%}" for a, n in found),
        )
    if task_set == "G3" and k == 10:
        for names in MERGED:
            merged(f"10 clusters: {', '.join(names)} together", names, lines, count)


def merged(claim, superclasses, lines, count):
    """Whether most tasks of some superclasses are in one cluster, and not by chance."""
    found = [beside_chance(line, lambda x: share_of(x, *superclasses)) for line in lines]
    count(
        claim,
        [share > 0.5 and p < 0.05 for share, p in found],
        "in one cluster (p): " + ", ".join(f"{s:.0%} ({p:.2f})" for s, p in found),
    )


def parted(claim, first, second, lines, count):
    """Whether no cluster is the strongest of a task of each kind."""
    both = []
    for line in lines:
        label = dict(zip(line["names"], line["labels"], strict=True))
        shared = {label[name] for name in first} & {label[name] for name in second}
        both.append([name for name in (*first, *second) if label[name] in shared])
    words = "; ".join(", ".join(names) or "none" for names in both)
    count(claim, [not names for names in both], f"mixed: {words}")


def sunflower(line):
    """Whether it is apart from most other flowers, and for how many its cluster is the next one."""
    rows = np.array(line["membership"])[[line["names"].index(name) for name in FLOWERS]]
    own = line["labels"][line["names"].index("sunflower")]
    order = rows.argsort(axis=1)[:, ::-1]
    return bool(np.mean(order[:, 0] != own) > 0.5), float(np.mean(order[:, 1] == own))


def claims_of_scores(task_set, scores, add):
    """What the paper says of F1, and what it does not say: beside ensembles and random groups."""

    def above(claim, ours, theirs):
        if ours in scores and theirs in scores:
            mean, width = interval(scores[ours], scores[theirs])
            held = "yes" if mean > width else "no" if mean < -width else "open"
            add(claim, held, f"F1 {difference(scores[ours], scores[theirs])}")

    def alike(claim, ours, theirs):
        if ours in scores and theirs in scores:
            mean, width = interval(scores[ours], scores[theirs])
            near, far = abs(mean) + width < 0.02, abs(mean) - width > 0.02
            held = "yes" if near else "no" if far else "open"
            figures = difference(scores[ours], scores[theirs])
            add(f"{claim} (within .02)", held, f"F1 {figures}")

    for k in sorted({k for _, k in scores} - {0}):
        above(f"{k} clusters: grouped above MTL", ("grouped", k), ("MTL", 0))
        if task_set in ("G1", "G2"):
            above(f"{k} clusters: grouped above STL", ("grouped", k), ("STL", 0))
        above(f"{k} clusters: hard clusters above MTL", ("hard", k), ("MTL", 0))
        alike(f"{k} clusters: MTL and STL maps give similar F1", ("grouped", k), ("stl maps", k))
        for way, words in COMBINED.items():
            alike(f"{k} clusters: combined {words}: similar F1", ("grouped", k), (way, k))
        above(f"{k} clusters: grouped above as many MTL nets", ("grouped", k), ("ensemble", k))
        above(f"{k} clusters: hard clusters above as many MTL nets", ("hard", k), ("ensemble", k))
        above(f"{k} clusters: grouped above random groups", ("grouped", k), ("random", k))


def verdicts(lines):
    """A sentence a setting: does grouping add anything beyond ensembling?"""
    out = []
    for setting, own in by_setting(lines):
        scores = last_scores(own)
        nets = "an ensemble of as many MTL nets"
        pairs = [
            ("grouping", "grouped", nets, "ensemble"),
            ("grouping", "grouped", "random groups", "random"),
            ("hard grouping", "hard", nets, "ensemble"),
        ]
        for k in sorted({k for _, k in scores}):
            for ours, way, theirs, other in pairs:
                if (way, k) in scores and (other, k) in scores:
                    mean, width = interval(scores[way, k], scores[other, k])
                    adds = "adds to" if mean > width else "is worse than" if mean < -width else None
                    adds = adds or "adds nothing that these seeds can show to"
                    if np.isnan(width):
                        adds = "cannot be told by one seed from"
                    out.append(
                        f"- {setting['task_set']}, {k} clusters: {ours} {adds} {theirs} "
                        f"(F1 {difference(scores[way, k], scores[other, k])})."
                    )
    return "\n".join(out)


def similar(claim, ours, theirs, count):
    """Whether two groupings of each seed agree more than by chance, and by half."""
    seeds = sorted(set(ours) & set(theirs))
    found = [adjusted_rand_score(ours[s]["labels"], theirs[s]["labels"]) for s in seeds]
    figures = "adjusted Rand index " + ", ".join(f"{value:.2f}" for value in found)
    count(f"{claim} (index > .5)", [value > 0.5 for value in found], figures)


def beside_chance(line, measure, n_draws=1000):
    """A measure of a grouping, and how often labels dealt out at random reach it."""
    labels, rng = np.array(line["labels"]), np.random.default_rng(line["seed"])
    found = measure(line)
    drawn = [measure({**line, "labels": rng.permutation(labels).tolist()}) for _ in range(n_draws)]
    return found, (1 + sum(value >= found for value in drawn)) / (1 + n_draws)


def share_of(line, *superclasses):
    """The share of tasks of some superclasses that are in the same cluster."""
    labels = np.array(line["labels"])[np.isin(line["superclass"], superclasses)]
    return np.bincount(labels).max() / len(labels)


def gap_rank(line, first, second):
    """The share of pairs of tasks whose memberships are nearer than those of two tasks, and how
    far those are apart."""
    rows = np.array(line["membership"])
    gaps = np.abs(rows[:, None] - rows).max(axis=2).round(4)  # the lines have 4 places
    gap = gaps[line["names"].index(first), line["names"].index(second)]
    of_pairs = gaps[np.triu_indices(len(rows), 1)]
    return float(np.mean(of_pairs < gap)), float(gap)


def beside_task(line, name):
    """The other tasks whose strongest cluster is that of a task."""
    labels = line["labels"]
    own = labels[line["names"].index(name)]
    names = zip(line["names"], labels, strict=True)
    return [other for other, label in names if label == own and other != name]


def superclass_table(lines, n_draws=1000):
    """Markdown: how much the groups of G3 agree with the superclasses."""
    out = []
    for setting, own in by_setting(lines):
        found = [x for x in own if x["kind"] == "groups" and x["superclass"] is not None]
        if not found:
            continue
        out += [f"\n**{title(setting)}**: adjusted mutual information with the superclasses\n"]
        out += ["| clusters | data maps | p | label correlation | random groups | dealt out |"]
        out += ["|---|---|---|---|---|---|"]
        for (k, source), of_k in groupby(
            sorted(found, key=lambda x: (x["n_clusters"], x["source"])),
            key=lambda x: (x["n_clusters"], x["source"]),
        ):
            rows = []
            for line in of_k:
                truth, labels = np.array(line["superclass"]), np.array(line["labels"])
                rng = np.random.default_rng(line["seed"])
                ours = adjusted_mutual_info_score(truth, labels)
                dealt = [
                    adjusted_mutual_info_score(truth, rng.permutation(labels))
                    for _ in range(n_draws)
                ]
                drawn = [
                    adjusted_mutual_info_score(truth, rng.integers(k, size=len(labels)))
                    for _ in range(n_draws)
                ]
                p = (1 + sum(value >= ours for value in dealt)) / (1 + n_draws)
                by_labels = adjusted_mutual_info_score(truth, line["by_correlation"])
                rows.append((ours, p, by_labels, np.mean(drawn), np.mean(dealt)))
            columns = list(zip(*rows, strict=True))
            cells = [spread(column) for column in columns]
            cells[1] = f"≤ {max(columns[1]):.3f}"
            out.append(f"| {k} ({source} maps) | {' | '.join(cells)} |")
    return "\n".join(out)


def agreement(lines):
    """Markdown: how alike the groups are that one and the same seeds give with other options."""
    options = ("recipe", "weights", "flips", "fuzziness", "spread")
    found = [
        (setting, {(x["n_clusters"], x["seed"]): x for x in own if x.get("source") == "mtl"})
        for setting, own in by_setting(lines)
    ]
    usual = {**UNSAID, "fuzziness": 2.0}
    out = []
    for setting, own in found:
        plain = {**setting, **{x: usual[x] for x in options}}
        theirs = next((groups for other, groups in found if other == plain), {})
        shared = sorted(set(own) & set(theirs))
        if setting == plain or not shared:
            continue
        cells = [
            f"{k}: "
            + ", ".join(
                f"{adjusted_rand_score(own[key]['labels'], theirs[key]['labels']):.2f}"
                for key in pairs
            )
            for k, pairs in groupby(shared, key=lambda key: key[0])
        ]
        out.append(f"| {title(setting)} | {'; '.join(cells)} |")
    if not out:
        return ""
    head = "| setting | adjusted Rand index to the groups without its options, by clusters |"
    return "\n".join([head, "|---|---|", *out])


def stem_of(setting):
    return "{task_set}_{net}_{n_train}_{epochs}_{fuzziness:g}".format(**setting).lower()


def draw(lines, folder):
    """Learning curves of every setting (test and training F1), and the groups of its first seed."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from skgroup.inspection import LearningCurvesDisplay, MembershipDisplay

    folder.mkdir(parents=True, exist_ok=True)
    found = [(stem_of(setting), setting, own) for setting, own in by_setting(lines)]
    for stem, setting, own in found:
        same = [other for stem_of_other, other, _ in found if stem_of_other == stem]
        apart = [str(setting[x]) for x in SETTING if any(o[x] != setting[x] for o in same)]
        stem = "_".join([stem, *apart])
        scores = [line for line in own if line["kind"] == "scores"]
        for k in sorted({line["n_clusters"] for line in scores} - {0}):
            figure, axes = plt.subplots(1, 2, figsize=(13, 4.5), layout="constrained")
            for part, ax in zip(("test", "train"), axes, strict=True):
                curves = {}
                for line in scores:
                    if line["n_clusters"] in (0, k) and line["way"] not in COMBINED:
                        curves.setdefault(line["way"], []).append(line[part])
                name = {"test": "mean test F1", "train": "mean training F1"}[part]
                LearningCurvesDisplay.from_scores(curves, score_name=name, ax=ax)
            figure.suptitle(f"{setting['task_set']}, {k} clusters")
            figure.savefig(folder / f"{stem}_curves_{k}.png", dpi=90)
            plt.close(figure)
        groups = [x for x in own if x["kind"] == "groups" and x["source"] == "mtl"]
        for line in [x for x in groups if x["seed"] == min(y["seed"] for y in groups)]:
            display = MembershipDisplay.from_membership(
                line["membership"], task_names=line["names"]
            )
            display.figure_.savefig(folder / f"{stem}_groups_{line['n_clusters']}.png", dpi=110)
            plt.close(display.figure_)
            if line["superclass"] is not None:
                figure = by_superclass(line, plt)
                figure.savefig(folder / f"{stem}_superclasses_{line['n_clusters']}.png", dpi=110)
                plt.close(figure)


def by_superclass(line, plt):
    """A figure of the memberships, a panel a superclass: rows its tasks, columns the clusters."""
    superclasses, rows = np.array(line["superclass"]), np.array(line["membership"])
    kinds = sorted(set(superclasses))
    place = np.searchsorted(kinds, superclasses)
    columns = np.argsort(place @ rows**2 / (rows**2).sum(axis=0))  # clusters of the first, first
    names = np.array([name.replace("_", " ") for name in line["names"]])
    figure, axes = plt.subplots(-(-len(kinds) // 4), 4, figsize=(13, 9), layout="constrained")
    for ax in axes.flat[len(kinds) :]:
        ax.axis("off")
    for kind, ax in zip(kinds, axes.flat[: len(kinds)], strict=True):
        own = superclasses == kind
        scale = {"vmin": 0, "vmax": rows.max(), "cmap": "Blues"}
        shown = ax.imshow(rows[own][:, columns], aspect="auto", **scale)
        ax.set_title(kind.replace("_", " "), fontsize=8)
        ax.set_yticks(range(own.sum()), names[own], fontsize=7)
        ax.set_xticks([])
    figure.colorbar(shown, ax=axes, label="membership", shrink=0.5)
    return figure
