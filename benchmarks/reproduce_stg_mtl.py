"""STG-MTL on images: F1 after every epoch of all ways, the groups found, and the paper's claims.

    python -m benchmarks.reproduce_stg_mtl --task-set G1 --data cifar10.npz --results stg_mtl.jsonl
    python -m benchmarks.reproduce_stg_mtl --task-set G3 --data cifar100.npz --n-clusters 10 20 \
--ways grouped ensemble random --results stg_mtl.jsonl
    python -m benchmarks.reproduce_stg_mtl --print --results benchmarks/results/stg_mtl.jsonl

The last only prints what was measured, all settings, and the claims. `--data` is what
`skgroup.datasets` takes as `path`: an .npz file or a folder. Each seed draws its own training and
test images, first weights and memberships. For each number of clusters k there are the ways

- grouped: k specialists, soft memberships of the data maps of one MTL net (k + 1 nets)
- hard: the same clusters, each task in one specialist alone
- stl maps: memberships of the data maps of single-task nets (k + n_tasks nets)
- random: as grouped, with the memberships dealt out to the tasks at random
- ensemble: k + 1 MTL nets, which cost what "grouped" costs

beside MTL (the net of the maps) and STL. "stl maps" is not at equal cost (it trains
n_tasks + k nets), so it is compared with the other maps only. `maps` trains no specialists and only
says what the groups are. Data maps are taken after 5 epochs, evenly spaced; class weights are
balanced; a task without a single positive test image has no F1 and does not count, nor does G2's
Random, of which nothing can be learned, in the mean F1. Training F1 is that of the first
`--n-scored` training images. Each part that is trained adds a line to the results file, and its
nets' probabilities a file to the folder beside it (`--work`), so that an interrupted run goes on
where it was; the folder can be deleted at the end (a run of more ways would train anew).
"""

import argparse
import hashlib
import json
import time
import warnings
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score
from skorch.callbacks import Callback

from benchmarks.evidence import interval
from benchmarks.result_file import ResultFile
from skgroup import FuzzyKMeans, GroupedMTLClassifier, MultiTaskNet, TaskGrouper, nn
from skgroup.datasets import fetch_celeba_tasks, fetch_cifar10_tasks, fetch_cifar100_tasks
from skgroup.exceptions import TrainingInterruptedWarning
from skgroup.metrics import multitask_f1_score
from skgroup.relations import LabelCorrelationAffinity

NETS = {
    "small-cnn": nn.SmallCNN,
    "resnet18": nn.ResNet18,
    "resnet34": nn.ResNet34,
    "resnet50": nn.ResNet50,
}
WAYS = ("maps", "stl", "grouped", "ensemble", "random", "hard", "stl maps")
SETTING = ("task_set", "data", "net", "n_train", "n_test", "n_scored", "image_size", "epochs")
SETTING += ("batch_size", "fuzziness", "device")
TOGETHER = ("people", "trees", "flowers", "food_containers", "household_electrical_devices")


class Probabilities(Callback):
    """Keeps a net's probabilities of some samples after every epoch."""

    def __init__(self, parts):
        self.parts = parts

    def __sklearn_clone__(self):
        return type(self)(self.parts)  # the nets share the images

    def on_train_begin(self, net, **kwargs):
        self.kept = []

    def on_epoch_end(self, net, **kwargs):
        proba = np.concatenate([net.predict_proba(X) for X in self.parts])
        self.kept.append(proba.astype(np.float16))


def kept_by(net):
    """(n_epochs, n_samples, n_tasks of the net): of the scored training images, then the test's."""
    found = np.stack(dict(net.callbacks_)["kept"].kept)
    if len(found) != net.max_epochs:
        raise RuntimeError(f"A net has trained for {len(found)} of {net.max_epochs} epochs.")
    return found


def in_columns(found, tasks, n_tasks):
    """With NaN in the columns of the tasks that a net has not learned."""
    full = np.full((*found.shape[:-1], n_tasks), np.nan, dtype=np.float16)
    full[..., tasks] = found
    return full


class Reproduction:
    """All that is trained for one seed of a setting."""

    def __init__(self, args, seed, done):
        self.args, self.seed, self.done = args, seed, done
        self.setting = setting_of(args)
        # Nets do not depend on the fuzziness of what is made of them, which is in their names.
        of_nets = {name: value for name, value in self.setting.items() if name != "fuzziness"}
        if of_nets["device"] == "cpu":  # as in folders from before the device was written
            del of_nets["device"]
        digest = hashlib.sha1(json.dumps([of_nets, seed]).encode()).hexdigest()[:12]
        self.work = args.work / f"{args.task_set}-{seed}-{digest}"
        self.work.mkdir(parents=True, exist_ok=True)
        fetch = {"G3": fetch_cifar100_tasks, "G4": fetch_celeba_tasks}
        fetch = fetch.get(args.task_set, fetch_cifar10_tasks)
        options = {"path": args.data, "random_state": seed}
        options |= {"task_set": args.task_set} if fetch is fetch_cifar10_tasks else {}
        options |= {"image_size": args.image_size} if args.task_set == "G4" else {}
        train = fetch(subset="train", n_samples=args.n_train, **options)
        test = fetch(subset="test", n_samples=args.n_test, **options)
        self.names, self.superclass = list(train.task_names), None
        if "superclass" in train:
            self.superclass = [train.superclass_names[c] for c in train.superclass]
        self.n_tasks = len(self.names)
        self.X, self.Y = train.data, train.target
        n = args.n_scored
        scored = (
            fetch(subset="train", n_samples=n, **options)
            if args.task_set == "G4"
            else {"data": train.data[:n], "target": train.target[:n]}
        )
        self.truth = [np.asarray(part["target"]) for part in (scored, test)]
        self.net = MultiTaskNet.stg_mtl(
            NETS[args.net],
            max_epochs=args.epochs,
            batch_size=args.batch_size,
            device=args.device,
            random_state=seed,
            callbacks=[("kept", Probabilities([scored["data"], test.data]))],
        )

    # -- what is trained, and kept in the work folder --------------------------------------------

    def trained(self, name, make):
        """Arrays that `make` returns, with the seconds that it took; from the file if there."""
        file = self.work / f"{name.replace(' ', '_')}.npz"
        if not file.exists():
            start = time.perf_counter()
            arrays = make()
            part = file.with_suffix(".part")
            with part.open("wb") as target:
                np.savez_compressed(target, seconds=time.perf_counter() - start, **arrays)
            part.replace(file)
        with np.load(file) as found:
            return dict(found)

    def maps(self, source):
        """Data maps, as an isometric embedding, and the probabilities of their nets."""

        def make():
            grouper = TaskGrouper(
                clone(self.net), source=source, output="isometric", random_state=self.seed
            ).fit(self.X, self.Y)
            nets = [grouper.estimator_] if source == "mtl" else grouper.estimators_
            kept = np.concatenate([kept_by(net) for net in nets], axis=2)
            return {"rows": grouper.embedding_, "kept": kept[None]}

        return self.trained(f"maps {source}", make)

    def more_mtl_nets(self, number):
        """Another MTL net, told apart by its number."""

        def make():
            net = clone(self.net).set_params(random_state=1000 * (number + 1) + self.seed)
            return {"kept": kept_by(net.fit(self.X, self.Y))[None]}

        return self.trained(f"mtl net {number}", make)

    def specialists(self, name, membership):
        def make():
            clf = GroupedMTLClassifier(clone(self.net), membership, random_state=self.seed)
            clf.fit(self.X, self.Y)
            parts = zip(clf.specialists_, clf.specialist_tasks_, strict=True)
            kept = [in_columns(kept_by(net), tasks, self.n_tasks) for net, tasks in parts]
            return {"kept": np.stack(kept)}

        return self.trained(name, make)

    # -- what is written -------------------------------------------------------------------------

    def write(self, kind, **values):
        line = {"kind": kind, **self.setting, "seed": self.seed, **values}
        key = key_of(line)
        if key not in self.done:
            self.done.add(key)
            result_file(self.args.results).append(line)

    def score(self, way, k, kept, weights, n_nets, seconds):
        """F1 after every epoch of the nets' probabilities, weighted for each task."""
        proba = np.zeros(kept.shape[1:], dtype=np.float32)
        for of_net, weight in zip(kept, weights.T.astype(np.float32), strict=True):
            proba += np.nan_to_num(of_net) * weight
        proba = np.split(proba, [len(self.truth[0])], axis=1)
        curves = [
            [
                multitask_f1_score(Y, (of_epoch > 0.5).astype(int), average=None)
                for of_epoch in of_part
            ]
            for Y, of_part in zip(self.truth, proba, strict=True)
        ]
        train, test = (
            np.where(Y.any(0), c, np.nan) for Y, c in zip(self.truth, curves, strict=True)
        )
        learnable = np.array(self.names) != "random"
        self.write(
            "scores",
            way=way,
            n_clusters=k,
            nets=n_nets,
            seconds=float(seconds),
            train=np.nanmean(train[:, learnable], axis=1).round(4).tolist(),
            test=np.nanmean(test[:, learnable], axis=1).round(4).tolist(),
            test_tasks=[None if np.isnan(v) else round(float(v), 4) for v in test[-1]],
        )

    def groups(self, source, k, rows):
        """Memberships of the tasks in k clusters."""
        clusters = FuzzyKMeans(k, fuzziness=self.args.fuzziness, random_state=self.seed).fit(rows)
        correlation = LabelCorrelationAffinity().fit_transform(np.zeros((len(self.Y), 1)), self.Y)
        self.write(
            "groups",
            source=source,
            n_clusters=k,
            names=self.names,
            superclass=self.superclass,
            membership=clusters.membership_.round(4).tolist(),
            labels=clusters.labels_.tolist(),
            by_correlation=FuzzyKMeans(k, random_state=self.seed).fit(correlation).labels_.tolist(),
        )
        return clusters

    def run(self):
        args, n_tasks = self.args, self.n_tasks
        base, stl = self.maps("mtl"), None
        even = np.ones((n_tasks, 1))
        self.score("MTL", 0, base["kept"], even, 1, base["seconds"])
        if "stl" in args.ways or "stl maps" in args.ways:
            stl = self.maps("stl")
            # Work files from before have an array for each net, with NaN in the other columns.
            weights = even if len(stl["kept"]) == 1 else np.eye(n_tasks)
            self.score("STL", 0, stl["kept"], weights, n_tasks, stl["seconds"])
        for k in args.n_clusters:
            clusters = self.groups("mtl", k, base["rows"])
            of_way = {
                "grouped": clusters.membership_,
                "hard": np.eye(k)[clusters.labels_],
                "random": np.random.default_rng(self.seed).permutation(clusters.membership_),
            }
            if stl is not None:
                of_stl = self.groups("stl", k, stl["rows"])
                of_way["stl maps"] = of_stl.membership_
            for way in [way for way in args.ways if way in of_way]:
                # Hard groups do not depend on the fuzziness.
                fuzziness = "" if way == "hard" else f" {args.fuzziness:g}"
                found = self.specialists(f"{way} {k}{fuzziness}", of_way[way])
                first, n_first = (stl, n_tasks) if way == "stl maps" else (base, 1)
                n_first *= way != "random"  # which needs no maps
                seconds = found["seconds"] + first["seconds"] * (way != "random")
                self.score(way, k, found["kept"], of_way[way], k + n_first, seconds)
            if "ensemble" in args.ways:
                nets = [base, *(self.more_mtl_nets(number) for number in range(k))]
                kept = np.concatenate([net["kept"] for net in nets])
                seconds = sum(net["seconds"] for net in nets)
                self.score("ensemble", k, kept, even.repeat(k + 1, 1) / (k + 1), k + 1, seconds)


def setting_of(args):
    """All that results depend on but the seed; what does not matter to a task set is left out."""
    setting = {name: getattr(args, name) for name in SETTING}
    setting["data"] = None if args.data is None else args.data.name
    setting["image_size"] = args.image_size if args.task_set == "G4" else None
    auto = "cuda" if torch.cuda.is_available() else "cpu"
    setting["device"] = torch.device(auto if args.device == "auto" else args.device).type
    return setting


def result_file(path):
    return ResultFile(path, "reproduce_stg_mtl")


def key_of(line):
    line = {"device": "cpu", **line}  # which lines from before do not say
    own = (line.get(name) for name in ("kind", *SETTING, "seed", "way", "source", "n_clusters"))
    return tuple(own)


def run(args, seed, done):
    warnings.simplefilter("ignore")
    warnings.simplefilter("error", TrainingInterruptedWarning)  # a net cut short must not be kept
    Reproduction(args, seed, done).run()


# -- what is printed -------------------------------------------------------------------------------


def by_setting(lines):
    """Pairs of a setting and its lines."""

    def setting(line):
        line = {"device": "cpu", **line}
        return json.dumps([line[name] for name in SETTING])

    for key, own in groupby(sorted(lines, key=setting), key=setting):
        yield dict(zip(SETTING, json.loads(key), strict=True)), list(own)


def title(setting):
    return (
        "{task_set}, {net}, {n_train:,} training images, {epochs} epochs of batches of "
        "{batch_size}, {n_test:,} test images, fuzziness {fuzziness:g}".format(**setting)
    ) + ("" if setting["device"] == "cpu" else f", {setting['device']}")


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
    - animals from vehicles: the clusters are exactly these.
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
        animals = [False, False, True, True, True, True, True, True, False, False]
        agreement = [adjusted_rand_score(animals, line["labels"]) for line in lines]
        count(
            "2 clusters: animals from vehicles",
            [value == 1 for value in agreement],
            "adjusted Rand index " + ", ".join(f"{value:.2f}" for value in agreement),
        )
    if task_set == "G3" and k == 20:
        for name in TOGETHER:
            found = [beside_chance(line, lambda x, name=name: share_of(x, name)) for line in lines]
            count(
                f"20 clusters: {name} mostly together",
                [share > 0.5 and p < 0.05 for share, p in found],
                "in one cluster (p): " + ", ".join(f"{s:.0%} ({p:.2f})" for s, p in found),
            )
        found = [
            beside_chance(line, lambda x: share_of(x, "vehicles_1", "vehicles_2")) for line in lines
        ]
        count(
            "20 clusters: vehicles 1 and 2 merge",
            [share > 0.5 and p < 0.05 for share, p in found],
            "of both in one cluster (p): " + ", ".join(f"{s:.0%} ({p:.2f})" for s, p in found),
        )


def claims_of_scores(task_set, scores, add):
    """What the paper says of F1, and what it does not say: beside ensembles and random groups."""

    def above(claim, ours, theirs):
        if ours in scores and theirs in scores:
            mean, width = interval(scores[ours], scores[theirs])
            held = "yes" if mean > width else "no" if mean < -width else "open"
            add(claim, held, f"F1 {difference(scores[ours], scores[theirs])}")

    for k in sorted({k for _, k in scores} - {0}):
        above(f"{k} clusters: grouped above MTL", ("grouped", k), ("MTL", 0))
        if task_set in ("G1", "G2"):
            above(f"{k} clusters: grouped above STL", ("grouped", k), ("STL", 0))
        above(f"{k} clusters: hard clusters above MTL", ("hard", k), ("MTL", 0))
        if ("stl maps", k) in scores and ("grouped", k) in scores:
            mean, width = interval(scores["grouped", k], scores["stl maps", k])
            held = (
                "yes" if abs(mean) + width < 0.02 else "no" if abs(mean) - width > 0.02 else "open"
            )
            claim = f"{k} clusters: MTL and STL maps give similar F1 (within .02)"
            figures = difference(scores["grouped", k], scores["stl maps", k])
            add(claim, held, f"F1 {figures}")
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
                    if line["n_clusters"] in (0, k):
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


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task-set", choices=["G1", "G2", "G3", "G4"], default="G1")
    parser.add_argument("--data", type=Path, help="file or folder; downloaded if not given")
    parser.add_argument("--net", choices=NETS, default="small-cnn")
    parser.add_argument("--n-train", type=int, default=1000)
    parser.add_argument("--n-test", type=int, default=500)
    parser.add_argument("--n-scored", type=int, default=500, help="training images that are scored")
    parser.add_argument("--image-size", type=int, default=64, help="of CelebA, in pixels")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--n-clusters", type=int, nargs="*", default=[2, 3])
    parser.add_argument("--fuzziness", type=float, default=2.0)
    parser.add_argument("--ways", nargs="*", choices=WAYS, default=list(WAYS))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--n-jobs", type=int, default=1, help="seeds that train at once")
    parser.add_argument("--results", type=Path, default=Path("stg_mtl.jsonl"))
    parser.add_argument("--work", type=Path, help="RESULTS.work if not given")
    parser.add_argument("--pictures", type=Path, help="folder for pictures")
    parser.add_argument("--print", action="store_true", help="only print what was measured")
    args = parser.parse_args()
    if args.n_scored > args.n_train:
        parser.error(
            "--n-scored must not be above --n-train. "
            f"Got --n-scored {args.n_scored} and --n-train {args.n_train}."
        )
    args.work = args.work or args.results.with_suffix(".work")

    results = result_file(args.results)
    if args.print and not args.results.exists():
        parser.error(f"--print needs the results of a run. There is no file {args.results}.")
    if not args.print:
        done = {key_of(line) for line in results.read()}
        Parallel(n_jobs=args.n_jobs)(delayed(run)(args, seed, done) for seed in args.seeds)
    lines = results.read()
    print(table(lines), verdicts(lines), superclass_table(lines), claims(lines), sep="\n\n")
    if args.pictures:
        draw(lines, args.pictures)


if __name__ == "__main__":
    main()
