"""What the text of a check's Nix file says."""
import tempfile
import unittest
from pathlib import Path

from ..nixfile import skips


class Skips(unittest.TestCase):
    def said(self, nix):
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "a.nix").write_text(nix)
            return skips(f"{folder}/a.py")

    def test_plain_attributes(self):
        self.assertEqual(self.said("{ nixosTest, ... }:\nnixosTest {\n  skipLint = true;\n  skipTypeCheck=true ;\n}\n"),
                         {"skipLint", "skipTypeCheck"})
        self.assertEqual(self.said("{ name = \"a\"; skipLint = true; }"), {"skipLint"})

    def test_what_is_not_said(self):
        for nix in ("", "{ }", "{ skipLint = false; }", "{ skipLint = lib.mkDefault true; }", "{ noskipLint = true; }",
                    "{ # skipLint = true;\n }", "{ /* skipLint = true; */ }", "{ a = \"skipLint = true;\"; }",
                    "{ a = \"\\\" skipLint = true;\"; }", "{ a = ''it's ''' skipLint = true; ''${x}''; }",
                    "{ passthru.skipLint = true; }"):
            with self.subTest(nix):
                self.assertEqual(self.said(nix), set())

    def test_behind_a_text(self):
        self.assertEqual(self.said("{ a = ''# \"''; skipLint = true; }"), {"skipLint"})

    def test_no_file(self):
        self.assertEqual(skips("/nonexistent/a.py"), set())
