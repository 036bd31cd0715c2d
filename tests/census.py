"""Lines of the files of Census-Income (KDD), made up."""

N_COLUMNS = 42


def row(**values):
    """A line of the file; columns by position, as c7="Divorced"."""
    cells = ["Not in universe"] * N_COLUMNS
    for number in (0, 5, 16, 17, 18, 24, 30, 39):
        cells[number] = "0"
    cells[4], cells[7], cells[40], cells[41] = "10th grade", "Divorced", "95", "- 50000."
    for name, value in values.items():
        cells[int(name[1:])] = str(value)
    return ", ".join(cells)
