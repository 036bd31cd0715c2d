"""How far from what a comparison takes is its forecast?

    python -m benchmarks.forecasts

Digits, three seeds: the seconds of a fit by `skgroup.comparison.forecast`, and by `compare` (the
median over its fits), which the processes beside it change alike.
"""

from sklearn.linear_model import LogisticRegression

from skgroup import GroupedMTLClassifier, MultiTaskNet, compare
from skgroup.comparison import forecast
from skgroup.datasets import load_digit_tasks


def main():
    X, Y = load_digit_tasks(return_X_y=True)
    net = MultiTaskNet.stg_mtl(module__hidden_units=(64, 64))
    candidates = {
        "grouped": GroupedMTLClassifier(net, n_groups=3),
        "logistic": LogisticRegression(max_iter=500),
    }
    said = forecast(X, Y, candidates, seeds=3)
    found = compare(X, Y, candidates, seeds=3)
    print(f"{'candidate':22}  forecast  compare  ratio")
    for name, seconds in zip(said.candidates, said.seconds, strict=True):
        took = found.seconds_of(name)
        print(f"{name:22}  {seconds:8.2f}  {took:7.2f}  {seconds / took:5.2f}")
    total = found.seconds.sum() / 60
    print(f"all fits, minutes: {said.minutes:.2f} said, {total:.2f} taken")


if __name__ == "__main__":
    main()
