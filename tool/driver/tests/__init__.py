"""Tests of the driver: `python3 -B -m unittest discover -s xtask/driver/tests -t xtask`."""
