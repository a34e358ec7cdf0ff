# Which events pySigma's SQLite backend finds.
#
# Reads {"rules": [YAML], "pipeline": YAML, "own": {rule: [event]}, "all": [event]} and writes
#   {"refused": {rule: reason},        what pySigma or SQLite cannot do
#    "own": {rule: [whether found]},   events that only their own rule is asked about
#    "all": [[rule]]}                  and those that every rule is asked about.
# An event is {"fields": {name: value}, "text": the raw record or null}, or an event of Windows as
# evtx_dump writes it. Rules are told by id.
#
# A field is a column, with the collation that the backend asks for; a column is numeric where a
# rule compares numbers, else text. Without a raw record, keywords are looked for in all values.
#
# Answers are kept beside the installed pySigma, by a checksum of this file, of everything that
# was asked, and of the versions that answered.
import fcntl
import hashlib
import importlib.metadata
import json
import pathlib
import re
import sqlite3
import sys

KEPT = 12
# What SQLite and `re` say of what they cannot do; a zero byte is a ValueError to some versions.
UNABLE = (sqlite3.Error, re.error, ValueError)
COLUMN = "TEXT COLLATE NOCASE"
NUMBERS = "NUMERIC COLLATE NOCASE"


def kept(kind, asked, answer):
    """The answer of an earlier run, or a new one."""
    packages = ("pysigma", "pysigma-backend-sqlite", "pyyaml")
    versions = [importlib.metadata.version(name) for name in packages]
    versions += [sys.version, sqlite3.sqlite_version, kind]
    known = hashlib.sha256(pathlib.Path(__file__).read_bytes())
    for part in [*versions, asked]:
        known.update(hashlib.sha256(part.encode()).digest())
    folder = pathlib.Path(sys.prefix) / "answers"
    folder.mkdir(exist_ok=True)
    file = folder / f"{kind}-{known.hexdigest()}.json"
    with open(folder.with_suffix(".lock"), "w") as lock:
        # Tests that run side by side ask for the same rules: one of them converts them.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if file.exists():
            file.touch()
            return json.loads(file.read_text())
        found = answer()
        fresh = folder.with_suffix(".fresh")
        fresh.write_text(json.dumps(found))
        fresh.rename(file)
        newest = sorted(folder.iterdir(), key=lambda old: old.stat().st_mtime, reverse=True)
        for old in newest[KEPT:]:
            old.unlink()
    return found


def converted(rules, pipeline):
    """{rule: {"where": SQL, "fields": [name], "numbers": [name]}}, and the reasons of the others.

    Column `fN` is field N of `fields`."""
    from sigma.backends.sqlite import sqliteBackend
    from sigma.collection import SigmaCollection
    from sigma.processing.pipeline import ProcessingPipeline
    from sigma.types import SigmaCompareExpression

    class Backend(sqliteBackend):
        # SQLite tells no letter case in names of columns apart, Sigma does in names of fields.
        def escape_and_quote_field(self, field):
            if field not in self.fields:
                self.fields.append(field)
            return f"f{self.fields.index(field)}"

        def resolve_table(self, state=None):
            return "logs"

        def convert_condition_field_compare_op_val(self, cond, state):
            if isinstance(cond.value, SigmaCompareExpression):
                self.numbers.append(cond.field)
            return super().convert_condition_field_compare_op_val(cond, state)

        def finalize_query_default(self, rule, query, index, state):
            return f"({query})"

    steps = ProcessingPipeline.from_yaml(pipeline) if pipeline else None
    found, refused = {}, {}
    for text in rules:
        for rule in SigmaCollection.from_yaml(text, collect_errors=True):
            backend = Backend(processing_pipeline=steps, fulltext_field="\0text")
            backend.fields, backend.numbers = [], []
            try:
                if rule.errors:
                    raise rule.errors[0]
                where = " OR ".join(backend.convert_rule(rule))
            except Exception as reason:
                refused[str(rule.id)] = f"{type(reason).__name__}: {reason}"
                continue
            entry = {"where": where, "fields": backend.fields, "numbers": backend.numbers}
            found[str(rule.id)] = entry
    return {"rules": found, "refused": refused}


def windows(event):
    """The fields of an event in the form of evtx_dump, by the names that rules use."""
    fields = {}

    def add(node, name):
        if isinstance(node, dict):
            for key, value in node.items():
                if key == "#attributes" and name == "Provider":
                    add(value.get("Name"), "Provider_Name")
                    add({"Guid": value.get("Guid")}, "")
                elif key in ("#attributes", "#text"):
                    add(value, name)
                else:
                    add(value, key)
        elif node is not None:
            fields.setdefault(name, node)

    parts = event["Event"]
    add(parts.get("EventData"), "")
    for content in (parts.get("UserData") or {}).values():
        add(content, "")
    add(parts.get("System"), "System")
    return fields


def text_of(value):
    return ("true" if value else "false") if isinstance(value, bool) else value


def event_of(event):
    fields = windows(event) if "Event" in event else event["fields"]
    fields = {name: text_of(value) for name, value in fields.items() if value is not None}
    text = event.get("text")
    if text is None:
        text = "\n".join(str(value) for value in fields.values())
    return {**fields, "\0text": text}


def database():
    db = sqlite3.connect(":memory:", isolation_level=None)
    patterns = {}

    def regexp(pattern, value):
        if value is None:
            return None
        if pattern not in patterns:
            patterns[pattern] = re.compile(pattern)
        return patterns[pattern].search(str(value)) is not None

    db.create_function("REGEXP", 2, regexp, deterministic=True)
    return db


def fill(db, events, fields, numbers):
    kinds = (f"f{n} {NUMBERS if f in numbers else COLUMN}" for n, f in enumerate(fields))
    db.execute("DROP TABLE IF EXISTS logs")
    db.execute(f"CREATE TABLE logs ({', '.join(kinds)})")
    marks = ", ".join("?" * len(fields))
    rows = ([event.get(field) for field in fields] for event in events)
    db.execute("BEGIN")
    db.executemany(f"INSERT INTO logs VALUES ({marks})", rows)
    db.execute("COMMIT")


def rows(db, where):
    return [row[0] - 1 for row in db.execute(f"SELECT rowid FROM logs WHERE {where}")]


def answers(asked, rules):
    db, own, refused = database(), {}, {}
    for rule, events in asked["own"].items():
        if rule not in rules:
            continue
        entry = rules[rule]
        try:
            fields = entry["fields"] or ["\0text"]
            fill(db, [event_of(event) for event in events], fields, entry["numbers"])
            own[rule] = [False] * len(events)
            for row in rows(db, entry["where"]):
                own[rule][row] = True
        except UNABLE as reason:
            own.pop(rule, None)
            refused[rule] = f"{type(reason).__name__}: {reason}"
    # Columns that many rules ask for come first, where SQLite reaches them soonest.
    uses, numbers = {}, set()
    for entry in rules.values():
        numbers.update(entry["numbers"])
        for field in entry["fields"]:
            uses[field] = uses.get(field, 0) + 1
    columns = sorted(uses, key=lambda field: -uses[field])
    numbered = {field: number for number, field in enumerate(columns)}
    found = [[] for _ in asked["all"]]
    if found:
        fill(db, [event_of(event) for event in asked["all"]], columns, numbers)
        for rule, entry in rules.items():
            own_names = entry["fields"]
            # Texts in quotes are values, not names.
            parts = re.split(r"('(?:[^']|'')*')", entry["where"])
            parts[::2] = [
                re.sub(r"\bf(\d+)\b", lambda name: f"f{numbered[own_names[int(name[1])]]}", part)
                for part in parts[::2]
            ]
            try:
                for row in rows(db, "".join(parts)):
                    found[row].append(rule)
            except UNABLE as reason:
                refused[rule] = f"{type(reason).__name__}: {reason}"
    return {"own": own, "all": found, "refused": refused}


def main():
    text = sys.stdin.read()
    asked = json.loads(text)
    rules = kept(
        "rules",
        json.dumps([asked["rules"], asked["pipeline"]]),
        lambda: converted(asked["rules"], asked["pipeline"]),
    )
    found = kept("answers", text, lambda: answers(asked, rules["rules"]))
    found["refused"] = {**rules["refused"], **found["refused"]}
    json.dump(found, sys.stdout)


main()
