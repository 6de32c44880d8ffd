"""A plugin of pytest: writes of each test "ok NAME", "FAILED NAME: why" or "skipped NAME: why" into
the file that OUTCOMES names."""

import os


def pytest_runtest_logreport(report):
    if report.when == "call" and report.passed:
        line = "ok " + report.nodeid
    elif report.skipped:
        line = "skipped %s: %s" % (report.nodeid, report.longrepr[2])
    elif report.failed:
        why = str(report.longrepr).strip().splitlines()[-1]
        line = "FAILED %s: %s" % (report.nodeid, why)
    else:
        return
    with open(os.environ["OUTCOMES"], "a") as outcomes:
        outcomes.write(" ".join(line.split("\n")) + "\n")
