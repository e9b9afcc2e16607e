"""Reads the table of the replay and holds each group to its floor: the share of equal answers.

The floor is 90 %. A group below it is listed here with its own floor, and docs/compatibility.md says
why: those answers differ on purpose.
"""

import sys

FLOOR = 90.0
LOWER = {
    "models": 80.0,  # one answer for the clients of both APIs
    "inference_chat": 75.0,  # upstream errors keep their status; requests the reference fails on work
    "inference_completion": 65.0,  # the same
    "auth": 25.0,  # `WWW-Authenticate` on every 401; health is public
    "registry": 62.0,  # benchmarks and scoring functions are not served yet
    "tool_runtime": 64.0,  # documents as items, missing arguments
    "agents": 66.0,  # lists, whole turns and filters work
    "telemetry": 55.0,  # questions that the reference fails on are answered
    "telemetry_fresh": 50.0,  # the same
    "vector_io": 58.0,  # 500s are 400s, duplicates are kept once, thresholds and modes count
    "extra_providers": 40.0,  # requests the reference fails on work, most of all those of passthrough
    "meta": 80.0,  # providers tell their health; routes of OpenAI's API are listed
}


def groups(lines):
    for line in lines:
        cells = line.split()
        if len(cells) == 5 and all(cell.isdigit() for cell in cells[1:]):
            yield cells[0], [int(cell) for cell in cells[1:]]


def main(path):
    with open(path) as table:
        found = list(groups(table))
    if not found:
        sys.exit("the replay printed no table")
    failed = 0
    for name, counts in found:
        share = 100 * counts[0] / sum(counts)
        floor = LOWER.get(name, FLOOR)
        verdict = "passed" if share >= floor else "failed"
        failed += verdict == "failed"
        print(f"{name:24} {share:5.1f} % equal, floor {floor:.0f} %: {verdict}")
    print(f"replay: {len(found) - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main(sys.argv[1])
