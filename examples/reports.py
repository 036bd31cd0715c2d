"""One page a data set for someone who was not there: which tasks belong together, does it pay?

    python examples/reports.py                        # digits, and a table without structure
    python examples/reports.py --yeast yeast.npz      # and 14 functions of yeast genes

Claim: a report says first whether grouping helps, and of labels that are drawn at random that there
is nothing to find. The pages are in examples/reports/, as Markdown with pictures and as HTML. The
file of --yeast holds x_train, y_train, x_test, y_test.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from skgroup import GroupedMTLClassifier, MultiTaskNet, compare
from skgroup.datasets import load_digit_tasks
from skgroup.inspection import partners, report
from skgroup.nn import MLP
from skgroup.selection import GroupStability


def digits(n_samples=None):
    tasks = load_digit_tasks()
    return tasks.data[:n_samples], pd.DataFrame(tasks.target, columns=tasks.task_names)[:n_samples]


def random_labels(n_samples=None):
    """Eight tasks that have nothing to do with X, nor with each other."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_samples or 1000, 20)).astype(np.float32)
    return X, pd.DataFrame(rng.integers(2, size=(len(X), 8))).add_prefix("coin ")


def yeast(path, n_samples=None):
    file = np.load(path)
    X = np.concatenate([file["x_train"], file["x_test"]])[:n_samples]
    Y = pd.DataFrame(np.concatenate([file["y_train"], file["y_test"]])[:n_samples].astype(int))
    return X, Y.rename(columns=lambda t: f"function {t + 1}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--yeast", type=Path, help="an .npz file")
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent / "reports")
    parser.add_argument("--n-groups", type=int, default=3)
    parser.add_argument("--n-seeds", type=int, default=4)
    parser.add_argument("--n-repetitions", type=int, default=10, help="of groupings, for stability")
    parser.add_argument("--n-references", type=int, default=99, help="tables without structure")
    parser.add_argument("--max-epochs", type=int, default=15)
    parser.add_argument("--results", type=Path, help="a folder to keep fits in, and to go on from")
    parser.add_argument("--n-samples", type=int, help="of each set; all if not given")
    args = parser.parse_args()

    sets = {
        "digits": ("Fifteen tasks of handwritten digits", digits(args.n_samples)),
        "random": ("Eight tasks of random labels", random_labels(args.n_samples)),
    }
    if args.yeast is not None:
        title = "Fourteen functions of yeast genes"
        sets["yeast"] = (title, yeast(args.yeast, args.n_samples))
    args.folder.mkdir(parents=True, exist_ok=True)
    net = MultiTaskNet(MLP, module__hidden_units=(64, 64), max_epochs=args.max_epochs)
    for name, (title, (X, Y)) in sets.items():
        clf = GroupedMTLClassifier(net, n_groups=args.n_groups, random_state=0).fit(X, Y)
        stability = GroupStability(
            clf.grouper_,
            n_repetitions=args.n_repetitions,
            n_references=args.n_references,
            random_state=0,
        ).fit(X, Y)
        comparison = compare(
            X,
            Y,
            clf,
            seeds=args.n_seeds,
            scoring="roc_auc",
            results=args.results and args.results / f"{name}.jsonl",
        )
        page = report(
            clf,
            comparison,
            X=X,
            Y=Y,
            stability=stability,
            partners=partners(clf, X, Y, random_state=0),
            title=title,
        )
        page.to_markdown(args.folder / f"{name}.md")
        page.to_html(args.folder / f"{name}.html")
        print(f"{page.sections[0].to_text()}\n\nThe page is {args.folder / name}.md.\n")


if __name__ == "__main__":
    main()
