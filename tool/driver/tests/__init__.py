"""Tests of the driver: `python3 -B -m unittest discover -s tool/driver/tests -t tool`."""
