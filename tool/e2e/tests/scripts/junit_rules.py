"""Whether a file keeps to the rules of Jenkins' junit-10.xsd, in the words of this file. Prints the counts of cases."""
import re
import sys
import xml.etree.ElementTree as ET

TIME = re.compile(r"(([0-9]{0,3},)*[0-9]{3}|[0-9]{0,3})*(\.[0-9]*)?")
RERUN = (set(), {"type", "message"}, {"type"}, ["stackTrace", "system-out", "system-err"])
RESULT = (set(), {"type", "message"}, set(), [])
TEXT = (set(), set(), set(), [])
SUITES = {"name", "time", "tests", "failures", "errors"}
SUITE = {"group", "skipped", "timestamp", "hostname", "id", "package", "file", "log", "url"} | SUITES
# element: children in any order, attributes, required attributes, children in this order and once at most
RULES = {
    "testsuites": ({"testsuite"}, SUITES, set(), []),
    "testsuite": ({"testsuite", "properties", "testcase", "system-out", "system-err"}, SUITE,
                  {"name", "tests", "failures", "errors"}, []),
    "testcase": ({"skipped", "error", "failure", "rerunFailure", "rerunError", "flakyFailure", "flakyError",
                  "system-out", "system-err"}, {"name", "time", "classname", "group"}, {"name"}, []),
    "failure": RESULT, "error": RESULT, "skipped": RESULT,
    "rerunFailure": RERUN, "rerunError": RERUN, "flakyFailure": RERUN, "flakyError": RERUN,
    "system-out": TEXT, "system-err": TEXT, "stackTrace": TEXT,
}


def look(element):
    children, attributes, required, ordered = RULES[element.tag]
    names = set(element.attrib)
    assert names <= attributes and required <= names, (element.tag, names)
    found = [child.tag for child in element]
    assert set(found) <= children | set(ordered), (element.tag, found)
    if ordered:
        assert found == [tag for tag in ordered if tag in found], (element.tag, found)
    if "time" in names and element.tag != "testcase":
        assert TIME.fullmatch(element.get("time")), element.get("time")
    if element.tag in ("testsuites", "testsuite"):
        cases = list(element.iter("testcase"))
        count = {"tests": len(cases)}
        for key, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            count[key] = sum(case.find(tag) is not None for case in cases)
        for key, number in count.items():
            assert element.get(key) in (None, str(number)), (element.tag, element.get("name"), key, number)
    for child in element:
        look(child)


root = ET.parse(sys.argv[1]).getroot()
assert root.tag == "testsuites"
look(root)
for suite in root:
    for case in suite:
        print(suite.get("name"), "/", case.get("name"), "/", " ".join(child.tag for child in case))
