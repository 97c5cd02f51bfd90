"""Entry point of `python3 -B tool/driver`: makes the folder importable as a package, then runs the command line."""
import os
import sys

if sys.version_info < (3, 9):
    sys.stderr.write("error: Python %d.%d is too old for the test driver\n\nhint: install Python 3.9 or newer\n"
                     % sys.version_info[:2])
    sys.exit(5)
folder = os.path.dirname(os.path.abspath(__file__))
# Python put this folder first on the path; a script that imports `json` or `machine` must not find our files there.
sys.path[0] = os.path.dirname(folder)
package = __import__(os.path.basename(folder) + ".cli").cli
del sys.path[0]
try:
    code = package.main(sys.argv[1:])
except SystemExit as end:
    code = end.code
package.leave(code)
