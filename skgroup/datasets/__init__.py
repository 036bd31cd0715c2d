"""Real data sets as tables of tasks."""

from skgroup.datasets._census_income import census_income_encoder, fetch_census_income
from skgroup.datasets._class_tasks import load_digit_tasks, make_class_tasks

__all__ = [
    "census_income_encoder",
    "fetch_census_income",
    "load_digit_tasks",
    "make_class_tasks",
]
