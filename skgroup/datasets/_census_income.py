"""Census-Income (KDD) as a table of three tasks."""

from __future__ import annotations

import lzma
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer, make_column_selector, make_column_transformer
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils import Bunch

from skgroup.datasets._sources import (
    check_choice,
    check_flags,
    check_sum,
    download_gz,
    home_of,
    path_given,
)
from skgroup.exceptions import ChecksumError

_URL = "https://archive.ics.uci.edu/ml/machine-learning-databases/census-income-mld/"
_FILES = {"train": "census-income.data", "test": "census-income.test"}
#: SHA-256 of what the gzipped files hold.
_SUMS = {
    "census-income.data": "3676a81db7d3528f3f8b9f3c699d0f0aa28db45e6e994fa0b8ed38327539ee86",
    "census-income.test": "98402b1ab879573d0a7f38a699a40258080e25e33d3401e7bf9c96d3fa0fab8c",
}
#: The columns of the files, in order; numbers are marked by a star.
_COLUMNS = """
    age*, class of worker, detailed industry recode, detailed occupation recode, education,
    wage per hour*, enroll in edu inst last wk, marital stat, major industry code,
    major occupation code, race, hispanic origin, sex, member of a labor union,
    reason for unemployment, full or part time employment stat, capital gains*, capital losses*,
    dividends from stocks*, tax filer stat, region of previous residence,
    state of previous residence, detailed household and family stat,
    detailed household summary in household, instance weight*, migration code-change in msa,
    migration code-change in reg, migration code-move within reg, live in this house 1 year ago,
    migration prev res in sunbelt, num persons worked for employer*, family members under 18,
    country of birth father, country of birth mother, country of birth self, citizenship,
    own business or self employed, fill inc questionnaire for veteran's admin, veterans benefits,
    weeks worked in year*, year, income
"""
_NAMES = [name.strip().rstrip("*") for name in _COLUMNS.split(",")]
_NUMBERS = [name.strip().rstrip("*") for name in _COLUMNS.split(",") if "*" in name]
_INCOMES = ("- 50000.", "50000+.")
_COLLEGE = r"Some college|Associates|Bachelors|Masters|Prof school|Doctorate"


def fetch_census_income(
    *,
    subset: str = "train",
    path: Any = None,
    data_home: Any = None,
    download_if_missing: bool = True,
    return_X_y: bool = False,
) -> Any:
    """Census-Income (KDD) [1]_ as three binary tasks, as in the literature on multi-task nets [2]_.

    The tasks are income (above 50,000 dollars), marital (never married) and education (some
    college or more). The columns that they are made from are no features, and neither is the
    instance weight. (What is left still says much of marital: who files taxes jointly has
    married.) Unknown values ("?") are categories of their own. Needs pandas.

    Parameters
    ----------
    subset : {"train", "test"}, default="train"
        The published split: 199,523 and 99,762 persons.
    path : path-like, default=None
        A folder with the files `census-income.data` and `census-income.test` of the UCI
        repository, plain or compressed (.gz, .bz2, .zip, .xz); or the file wanted itself. Nothing
        is downloaded then.
    data_home : path-like, default=None
        Where downloads are kept; that of scikit-learn if None.
    download_if_missing : bool, default=True
        Whether to download from the UCI repository what `data_home` lacks.
    return_X_y : bool, default=False
        Return `(data, target)` instead of a Bunch.

    Returns
    -------
    tasks : Bunch, or tuple (data, target)
        `data`, DataFrame of shape (n_samples, 38), 7 columns of numbers and 31 of strings;
        `target`, DataFrame of shape (n_samples, 3) of 0 and 1; `task_names`; `instance_weight`,
        ndarray of shape (n_samples,): the number of people that each row stands for.

    Raises
    ------
    ValueError
        If `subset` is not known, or a file is not that of Census-Income, or damaged.
    OSError
        If there is no file, and it cannot be downloaded or must not be; a `ChecksumError` if
        what is downloaded, or was before, is not what was published.
    TypeError
        If `path` or `data_home` is no path.

    See Also
    --------
    census_income_encoder : Turns `data` into numbers.

    References
    ----------
    .. [1] T. Lane, R. Kohavi, "Census-Income (KDD)", UCI machine learning repository, 2000,
       doi:10.24432/C5N30T.
    .. [2] D. Li et al., "AdaTT: adaptive task-to-task fusion network for multitask learning in
       recommendations", KDD 2023.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from skgroup import GroupedMTLClassifier
    >>> from skgroup.datasets import census_income_encoder, fetch_census_income
    >>> clf = make_pipeline(census_income_encoder(), GroupedMTLClassifier(n_groups=2))
    >>> X, Y = fetch_census_income(return_X_y=True)  # doctest: +SKIP
    >>> X_test, Y_test = fetch_census_income(subset="test", return_X_y=True)  # doctest: +SKIP
    >>> clf.fit(X, Y).score(X_test, Y_test)  # doctest: +SKIP
    """
    check_choice("subset", subset, _FILES)
    check_flags(
        "fetch_census_income", download_if_missing=download_if_missing, return_X_y=return_X_y
    )
    path = path_given(path)
    if path is not None:
        file = _given(path, _FILES[subset])
    else:
        file = _downloaded(_FILES[subset], data_home, download_if_missing)
    rows = _read(file)
    education = rows["education"].str.match(_COLLEGE)
    target = rows[[]].assign(
        income=rows["income"].str.startswith("50000+").astype(np.int64),
        marital=(rows["marital stat"] == "Never married").astype(np.int64),
        education=education.astype(np.int64),
    )
    data = rows.drop(columns=["income", "marital stat", "education", "instance weight"])
    if return_X_y:
        return data, target
    return Bunch(
        data=data,
        target=target,
        task_names=list(target),
        instance_weight=rows["instance weight"].to_numpy(),
    )


def census_income_encoder() -> ColumnTransformer:
    """What turns the features of Census-Income into numbers, to be fitted on the training part.

    Numbers are scaled to mean 0 and variance 1. Of the other columns each category that the
    training part holds has a column of 0 and 1; other categories are all zeros.

    Returns
    -------
    encoder : ColumnTransformer
        Unfitted.
    """
    # Chosen by type, so that a part of the columns can be encoded too.
    return make_column_transformer(
        (StandardScaler(), make_column_selector(dtype_include="number")),
        (
            OneHotEncoder(handle_unknown="ignore", sparse_output=False, dtype=np.float32),
            make_column_selector(dtype_exclude="number"),
        ),
    )


def _read(file: Path) -> Any:
    try:
        return _read_rows(file)
    except (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile) as error:
        raise ValueError(f"{file} is damaged, or breaks off ({error}).") from error


def _read_rows(file: Path) -> Any:
    import pandas as pd

    try:
        first = pd.read_csv(file, header=None, nrows=5, skipinitialspace=True)
    except pd.errors.EmptyDataError:
        first = pd.DataFrame()
    if first.shape[1] != len(_NAMES):
        raise ValueError(
            f"{file} is no file of Census-Income (KDD), which has {len(_NAMES)} columns. Got "
            f"{first.shape[1]}."
        )
    incomes = {str(value).strip() for value in first.iloc[:, -1]}
    if not incomes <= set(_INCOMES):
        raise ValueError(
            f"{file} is no file of Census-Income (KDD), whose last column is {_INCOMES[0]!r} or "
            f"{_INCOMES[1]!r}. Got {sorted(incomes)}."
        )
    kinds: dict[str, type] = {name: float if name in _NUMBERS else str for name in _NAMES}
    return pd.read_csv(
        file,
        header=None,
        names=_NAMES,
        dtype=kinds,
        skipinitialspace=True,
        keep_default_na=False,
    )


def _given(path: Path, name: str) -> Path:
    if path.is_file():
        return path
    kinds = ("", ".gz", ".bz2", ".zip", ".xz")
    files = [path / f"{name}{kind}" for kind in kinds if (path / f"{name}{kind}").is_file()]
    if not files:
        raise FileNotFoundError(f"There is no file {name} (or {name}.gz, ...) at {path}.")
    return files[0]


def _downloaded(name: str, data_home: Any, download_if_missing: bool) -> Path:
    file = home_of("census_income", data_home) / f"{name}.gz"
    ways = (
        f"Give the folder that holds {name} as 'path', or let fetch_census_income download it "
        f"from {_URL}."
    )
    damaged = None
    if file.exists():
        try:
            check_sum(file.read_bytes(), _SUMS[name], file)
            return file
        except ChecksumError as error:
            damaged = error
    if not download_if_missing:
        if damaged is not None:
            raise ChecksumError(f"{damaged} download_if_missing=False. {ways}") from damaged
        raise FileNotFoundError(f"{file} is not there, and download_if_missing=False. {ways}")
    try:
        download_gz(_URL + file.name, file, _SUMS[name])
    except OSError as error:
        kind = ChecksumError if isinstance(error, ChecksumError) else OSError
        raise kind(f"{name} could not be downloaded ({error}). {ways}") from error
    return file
