"""Entry point of `python3 -B xtask/driver`: makes the folder importable as a package, then runs the command line."""
import os
import sys

folder = os.path.dirname(os.path.abspath(__file__))
# Python put this folder first on the path; a script that imports `json` or `machine` must not find our files there.
sys.path[0] = os.path.dirname(folder)
package = __import__(os.path.basename(folder) + ".cli").cli
del sys.path[0]
sys.exit(package.main(sys.argv[1:]))
