"""The rules of nixpkgs' lint of test scripts. Ruff 0.15 was asked about each text: its answers stand beside it."""
import ast
import builtins
import sys
import textwrap
import unittest

from ..flakes import check


class Flakes(unittest.TestCase):
    def found(self, text):
        text = textwrap.dedent(text)
        return [f"{f.node.lineno} {f.code}" for f in check(ast.parse(text), text, {"machine", *dir(builtins)})]

    def table(self, rows):
        for text, codes in rows.items():
            with self.subTest(text):
                self.assertEqual(self.found(text), codes)

    def test_imports(self):
        self.table({
            "import time": ["1 F401"],
            "import time\ntime.sleep(1)": [],
            "import time\nprint(lambda: time)": [],
            "import os.path": ["1 F401"],
            "import os.path\nimport os.path as p\nprint(os, p)": [],
            "from json import loads, dumps\nloads('')": ["1 F401"],
            "import json as json\nfrom json import loads as loads": [],
            "from __future__ import annotations": [],
            "try:\n    import epics\nexcept ImportError:\n    epics = None": [],
            "def f():\n    import time": ["2 F401"],
            "class A:\n    import time": [],
            "from typing import *": ["1 F403"],
            "from typing import *\nList": ["1 F403", "2 F405"],
            "import time  # noqa": [],
            "import time  # noqa: F401": [],
            "import time  # noqa: E501": ["1 F401"],
            "# ruff: noqa\nimport time": [],
            "import time\n__all__ = ['time']": [],
            "import time\n__all__ = ['time', 'tme']": ["2 F822"],
        })

    def test_redefinitions(self):
        self.table({
            "import time\nimport time\ntime": ["2 F811"],
            "import time\nfor time in ():\n    pass": ["2 F402"],
            "def f():\n    pass\ndef f():\n    pass": ["3 F811"],
            "def f():\n    pass\nf()\ndef f():\n    pass": [],
            "if machine:\n    def f():\n        pass\nelse:\n    def f():\n        pass": [],
            "class A:\n    def f(self): return 1\n    def f(self): return 2": ["3 F811"],
            "import time\ndef f():\n    import time\n    return time": ["1 F401", "3 F811"],
        })

    def test_variables(self):
        self.table({
            "x = 1": [],
            "def f():\n    x = 1": ["2 F841"],
            "def f():\n    x, y = machine": [],
            "def f():\n    x, y = 1, 2": ["2 F841", "2 F841"],
            "def f():\n    _x = 1": [],
            "def f():\n    x = 1\n    return locals()": [],
            "def f():\n    x = 1\n    def g():\n        return x\n    return g": [],
            "def f():\n    x = 1\n    def g():\n        nonlocal x\n        x = 2\n    return g": [],
            "def f():\n    global x\n    x = 1": [],
            "def f():\n    x: int": ["2 F842"],
            "def f():\n    x = 0\n    x += 1": [],
            "def f():\n    with machine as m:\n        pass": ["2 F841"],
            "def f():\n    for i in ():\n        pass": [],
            "def f():\n    if (n := 3):\n        pass": ["2 F841"],
            "try:\n    pass\nexcept Exception as e:\n    pass": ["3 F841"],
            "try:\n    pass\nexcept Exception as e:\n    print(e)": [],
        })

    def test_names(self):
        self.table({
            "machne": ["1 F821"],
            "print(x)\nx = 1": ["1 F821"],
            "def f():\n    return x\nx = 1": [],
            "try:\n    Machine\nexcept NameError:\n    pass": [],
            "try:\n    Machine\nexcept Exception:\n    pass": ["2 F821"],
            "x = 1\ndef f():\n    print(x)\n    x = 2\n    print(x)": ["3 F823"],
            "x = 1\ndel x\nprint(x)": ["3 F821"],
            "[a for a in machine for b in a if b]": [],
            "[b for a in b]": ["1 F821", "1 F821"],
            "class A:\n    x = (1,)\n    y = [i for i in x]": [],
            "class A:\n    x = 1\n    y = [x for _ in ()]": ["3 F821"],
            "class A:\n    x = 1\n    def f(self):\n        return x": ["4 F821"],
            "class A:\n    def f(self):\n        return __class__": [],
            "def f(a: 'nope', b: 'int') -> 'A':\n    return a, b\nclass A:\n    pass": ["1 F821"],
            "def f(a: 'in t'):\n    return a": ["1 F722"],
            "from typing import Literal\nx: Literal['a b'] = 'a b'": [],
            "from typing import List\ndef f(a: 'List[int]'):\n    return a": [],
        })

    def test_expressions(self):
        self.table({
            "print(f'abc')": ["1 F541"],
            "print(f'{machine:>{machine}}' f'abc')": [],
            "machine is 'a'": ["1 F632"],
            "machine is ()": ["1 F632"],
            "machine is None is True": [],
            "assert (machine, 'text')": ["1 F631"],
            "if (machine, 1):\n    pass": ["1 F634"],
            "raise NotImplemented": ["1 F901"],
            "raise NotImplemented('x')": ["1 F901"],
            "print >> machine": ["1 F633"],
            "{'a': 1, 'b': 2, 'a': 3}": ["1 F601"],
            "{1: 1, 1: 2}": ["1 F601"],
            "a = 1\n{a: 1, a: 2}": ["2 F602"],
        })

    def test_formats(self):
        self.table({
            "'%s %d' % (1, 2)": [],
            "'%s %%' % (1,)": [],
            "'%s %s' % (1,)": ["1 F507"],
            "'%s' % machine": [],
            "'%*d' % (1, 2)": [],
            "'%(a)s' % {'a': 1}": [],
            "'%(a)s' % {'b': 1}": ["1 F504", "1 F505"],
            "'%(a)s' % (1,)": ["1 F502"],
            "'%s %s' % {'a': 1}": ["1 F503"],
            "'%(a)s %s' % machine": ["1 F506"],
            "'%(a)*s' % {'a': 1}": ["1 F508"],
            "'%y' % machine": ["1 F509"],
            "'%' % machine": ["1 F501"],
            "'%(a' % machine": ["1 F501"],
            "'{} {a}'.format(1, a=2)": [],
            "'{'.format(1)": ["1 F521"],
            "'{}'.format(1, a=2)": ["1 F522"],
            "'{}'.format(1, 2)": ["1 F523"],
            "'{} {}'.format(1)": ["1 F524"],
            "'{} {}'.format(*machine)": [],
            "'{0} {}'.format(1, 2)": ["1 F525"],
            "'{:{}} {0.real}'.replace('a', 'b')": [],
            "'{:{}}'.format(1, 2)": [],
        })

    def test_style(self):
        self.table({
            "import json, time\nprint(json, time)": ["1 E401"],
            "if machine: pass": ["1 E701"],
            "def f(): pass": [],
            "class A: ...": [],
            "a = 1; b = 2": ["1 E702"],
            "a = 1;": ["1 E703"],
            "a = ';'": [],
            "machine == None": ["1 E711"],
            "machine != True": ["1 E712"],
            "not machine in ()": ["1 E713"],
            "not machine is None": ["1 E714"],
            "type(machine) == int": ["1 E721"],
            "try:\n    pass\nexcept:\n    pass": ["3 E722"],
            "f = lambda: 0": ["1 E731"],
            "l = 1": ["1 E741"],
            "class I:\n    pass": ["1 E742"],
            "def O():\n    pass": ["1 E743"],
        })

    @unittest.skipIf(sys.version_info < (3, 10), "there is no `match` in this Python")
    def test_patterns(self):
        self.table({
            "def f(a):\n    match a:\n        case [x, *y] if x:\n            return y": [],
            "def f(a):\n    match a:\n        case {'k': 1 as z, **rest}:\n            return rest": ["3 F841"],
            "match machine:\n    case nope.x:\n        pass": ["2 F821"],
        })

    @unittest.skipIf(sys.version_info < (3, 12), "there are no type parameters in this Python")
    def test_type_parameters(self):
        self.table({
            "def f[T](a: T) -> T:\n    return a": [],
            "class A[T]:\n    x: T": [],
            "type A[T] = list[T]": [],
            "def f[T](a: U) -> T:\n    return a": ["1 F821"],
        })
