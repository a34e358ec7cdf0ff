# What pySigma's SQLite backend finds, told as Keng tells it.
#
# Reads {"base": YAML, "rules": [YAML], "streams": [[[time, kinds, key, value]]], "span", "end"}
# and writes, for each rule and stream, {key: [time]}, or the reason for which pySigma refuses a rule.
# The SQL tells of every moment at which a condition holds. Keng uses events up: so the earliest
# moment is taken, everything of the key up to it deleted, and the SQL asked again. Bounds that
# Keng decides at the end of windows are asked of each window's events alone.
import json
import sqlite3
import sys

from sigma.backends.sqlite import sqliteBackend
from sigma.collection import SigmaCollection

asked = json.load(sys.stdin)


def found(query, events):
    db = sqlite3.connect(":memory:")
    db.execute("CREATE TABLE logs (timestamp, t, a, b, c, k, v)")
    for time, kinds, key, value in events:
        flags = [1 if kind in kinds else None for kind in "abc"]
        db.execute("INSERT INTO logs VALUES (?, 1, ?, ?, ?, ?, ?)", (time, *flags, key, value))
    return [round(row[0]) for row in db.execute(f"SELECT window_end FROM ({query})")]


def looking(query, events):
    times = []
    while events:
        ends = found(query, events)
        if not ends:
            break
        times.append(min(ends))
        events = [event for event in events if event[0] > times[-1]]
    return times


def tumbling(query, events):
    times = []
    while events:
        end = events[0][0] + asked["span"]
        window = [event for event in events if event[0] <= end]
        if window[-1][0] in found(query, window):
            times.append(window[-1][0])
        events = events[len(window):]
    return times


def answer(rule, windows):
    backend = sqliteBackend(timestamp_format="unix", observation_end=asked["end"])
    try:
        query = backend.convert(SigmaCollection.from_yaml(asked["base"] + rule))[-1]
    except Exception as refused:
        return str(refused)
    results = []
    for stream in asked["streams"]:
        by_key = {}
        for key in sorted({event[2] for event in stream}):
            events = sorted(event for event in stream if event[2] == key)
            times = (tumbling if windows else looking)(query, events)
            if times:
                by_key[key] = times
        results.append(by_key)
    return results


json.dump([answer(rule["yaml"], rule["windows"]) for rule in asked["rules"]], sys.stdout)
