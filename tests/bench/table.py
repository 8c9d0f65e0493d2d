"""What the tables of hosted programs share: a row's verdict, printing, and their part of bench.json."""
import json


def verdict(value, goal):
    return "-" if goal is None else "met" if value <= goal else "missed"


def number(value):
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 1000 or value == int(value) else f"{value:.3g}"


def show(title, columns, rows):
    """columns: {key: heading} of the numbers between a row's text and its verdict."""
    lines = [(title, *columns.values(), "verdict")]
    lines += [(row["text"], *(number(row[key]) for key in columns), row["verdict"]) for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    for line in lines:
        numbers = [cell.rjust(width) for cell, width in zip(line[1:-1], widths[1:])]
        print("  ".join([line[0].ljust(widths[0]), *numbers, line[-1]]))
    verdicts = [row["verdict"] for row in rows]
    print(f"{title}: {verdicts.count('met')} goals met, {verdicts.count('missed')} missed")


def add_to_json(path, name, rows):
    """Put the rows into the document under name, beside what others have put there."""
    document = json.loads(path.read_text()) if path.exists() else {}
    document[name] = {row["key"]: {k: v for k, v in row.items() if k != "key"} for row in rows}
    path.write_text(json.dumps(document, indent=2) + "\n")
