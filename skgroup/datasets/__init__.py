"""Real data sets as tables of tasks."""

from skgroup.datasets._celeba import fetch_celeba_tasks
from skgroup.datasets._census_income import census_income_encoder, fetch_census_income
from skgroup.datasets._cifar import fetch_cifar10_tasks, fetch_cifar100_tasks
from skgroup.datasets._class_tasks import load_digit_tasks, make_class_tasks, make_label_tasks
from skgroup.datasets._image_files import ImageFiles

__all__ = [
    "ImageFiles",
    "census_income_encoder",
    "fetch_celeba_tasks",
    "fetch_census_income",
    "fetch_cifar10_tasks",
    "fetch_cifar100_tasks",
    "load_digit_tasks",
    "make_class_tasks",
    "make_label_tasks",
]
