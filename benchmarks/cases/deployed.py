"""Deployed nets beside scikit-learn's net and forest: a row at a time, and many rows."""

import tempfile
from pathlib import Path

import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

from benchmarks.cases.training import make_tasks
from benchmarks.harness import case, compare, torch_threads
from skgroup import GroupedMTLClassifier, MultiTaskNet
from skgroup.nn import MLP

#: Calls of a run that is timed.
N_CALLS = 50
#: Rows that are predicted at a time, by us and by rivals: what suits each.
PIECE, RIVALS_PIECE = 512, 8192
HIDDEN = (256, 256)


def as_programs(estimator, X, folder):
    """A fitted estimator as functions of arrays: eager, exported, by onnxruntime."""
    import onnxruntime

    module, batch = estimator.to_module(), torch.from_numpy(X[:4])
    sizes = ({0: torch.export.Dim("batch")},)
    exported = torch.export.export(module, (batch,), dynamic_shapes=sizes).module()
    onnx = torch.onnx.export(module, (batch,), dynamic_shapes=sizes, dynamo=True, verbose=False)
    onnx.save(folder / "module.onnx")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(folder / "module.onnx", options)
    name = session.get_inputs()[0].name

    def by_torch(run):
        return lambda X: run(torch.from_numpy(X)).numpy()

    return {
        "to_module": torch.inference_mode()(by_torch(module)),
        "torch.export": torch.inference_mode()(by_torch(exported)),
        "onnxruntime": lambda X: session.run(None, {name: X})[0],
    }


def in_pieces(predict, X, n_rows):
    return [predict(X[start : start + n_rows]) for start in range(0, len(X), n_rows)]


@case("deployed", target="by onnxruntime, a row in less time than scikit-learn's net takes")
def deployed(size, repeats):
    X, Y = make_tasks(2_000, 10, (20,))
    many = make_tasks(1_000_000 if size == "full" else 50_000, 1, (20,), seed=1)[0]
    plain = MultiTaskNet(MLP, module__hidden_units=HIDDEN, max_epochs=3, random_state=0)
    ours = {
        "MLP 256-256": plain,
        "3 groups of them": GroupedMTLClassifier(plain, n_groups=3, random_state=0),
        "the default net": MultiTaskNet(max_epochs=3, random_state=0),
    }
    with torch_threads(1), threadpool_limits(1), tempfile.TemporaryDirectory() as folder:
        rivals = {
            "MLPClassifier 256-256": MLPClassifier(HIDDEN, max_iter=3, random_state=0),
            "a forest of 100 trees": RandomForestClassifier(100, random_state=0),
        }
        for rival in rivals.values():
            rival.fit(X, Y)
        for kind, estimator in ours.items():
            programs = as_programs(estimator.fit(X, Y), X, Path(folder))
            for program, predict in programs.items():
                for name, rival in rivals.items():

                    def calls(predict):
                        for i in range(N_CALLS):
                            predict(X[i : i + 1])

                    predict(X[:1])
                    times = compare(
                        lambda p=predict: calls(p),
                        lambda r=rival: calls(r.predict_proba),
                        repeats,
                    )
                    yield times.row(
                        f"{kind} by {program}, {N_CALLS} times a row",
                        rival=f"({name})",
                        at_least=1.0 if program == "onnxruntime" and "MLP" in name else 0.0,
                    )
            # Of the larger ones fewer rows, which take as long each.
            rows = many if estimator is plain else many[:50_000]
            for program, name in (
                ("to_module", "MLPClassifier 256-256"),
                ("onnxruntime", "MLPClassifier 256-256"),
                ("onnxruntime", "a forest of 100 trees"),
            ):
                times = compare(
                    lambda p=programs[program], rows=rows: in_pieces(p, rows, PIECE),
                    lambda r=rivals[name], rows=rows: in_pieces(
                        r.predict_proba, rows, RIVALS_PIECE
                    ),
                    3 if len(rows) > 50_000 else repeats,
                )
                yield times.row(f"{kind} by {program}, {len(rows):,} rows", rival=f"({name})")
