"""What other rooms need of rows and their populations."""

from skgroup.populations._rows import as_table, check_labels, features_and_ids

__all__ = ["as_table", "check_labels", "features_and_ids"]
