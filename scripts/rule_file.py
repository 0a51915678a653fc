"""Reads the rule files in deploy/prometheus: the part of YAML that they are written in, so that the
checks need nothing but Python."""

import dataclasses


@dataclasses.dataclass
class Rule:
    """An alert or a recording rule."""

    name: str
    expression: str = ""
    fields: dict = dataclasses.field(default_factory=dict)
    labels: dict = dataclasses.field(default_factory=dict)
    annotations: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Group:
    """Rules that are evaluated together."""

    name: str
    interval: str = "1m"
    rules: list = dataclasses.field(default_factory=list)


def unquote(value):
    value = value.strip()
    return value[1:-1].replace("''", "'") if value.startswith("'") else value


def groups(path):
    """All groups of a file."""
    found, section = [], None
    lines = path.read_text(encoding="utf-8").splitlines()
    for line in lines:
        text, indent = line.strip(), len(line) - len(line.lstrip())
        if not text or text.startswith("#") or text in ("groups:", "rules:"):
            continue
        key, _, value = text.removeprefix("- ").partition(": ")
        key = key.rstrip(":")
        if indent == 2 and text.startswith("- name: "):
            found.append(Group(unquote(value)))
        elif indent == 4:
            found[-1].interval = value
        elif indent == 6:
            found[-1].rules.append(Rule(unquote(value)))
            section = None
        elif indent == 8:
            section = key
            rule = found[-1].rules[-1]
            if key == "expr" and value != "|":
                rule.expression = unquote(value)
            elif key not in ("expr", "labels", "annotations"):
                rule.fields[key] = unquote(value)
        elif section == "expr":
            rule = found[-1].rules[-1]
            rule.expression = f"{rule.expression}\n{text}".strip()
        else:
            getattr(found[-1].rules[-1], section)[key] = unquote(value)
    return found
