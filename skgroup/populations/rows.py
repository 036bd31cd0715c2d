"""What other rooms need of rows and their populations."""

from skgroup.populations._rows import check_labels, features_and_ids

__all__ = ["check_labels", "features_and_ids"]
