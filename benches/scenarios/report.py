"""Medians and ratios as Markdown."""

import statistics

# What the load's own processes spent: to judge a rate by, no figure of a broker.
JSON_ONLY = "load CPU"


def header(subjects):
    names = [subject.name for subject in subjects]
    print("| row | figure | " + " | ".join(names) + (" | times better |" if len(names) > 1 else " |"))
    print("|---|---|" + "---|" * (len(names) + (len(names) > 1)), flush=True)


def number(value):
    if value is None:
        return "–"
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def times_better(figure, first, other):
    if not first or not other:
        return "–"
    ratio = first / other if figure.endswith("/s") else other / first
    return f"{ratio:.1f}×"


def print_row(row, figures, subjects):
    """A figure a line: the median of each broker, and how much better the first is than the second."""
    for figure in figures[subjects[0].name]:
        if figure.rsplit(": ")[-1].startswith(JSON_ONLY):
            continue
        values = [figures.get(subject.name, {}).get(figure) for subject in subjects]
        medians = [statistics.median(value) if value else None for value in values]
        cells = [number(median) for median in medians]
        if len(medians) > 1:
            cells.append(times_better(figure, medians[0], medians[1]))
        print(f"| {row.name} | {figure} | {' | '.join(cells)} |", flush=True)
