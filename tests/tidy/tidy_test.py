#!/usr/bin/env python3
"""The rules of tidy.py catch what they should and nothing else."""

import unittest

import tidy


class Rules(unittest.TestCase):
    def faults(self, path: str, text: str) -> list[str]:
        return tidy.check_file(path, text)

    def test_include_direction(self):
        self.assertTrue(self.faults("dataplane/io/a.cc", '#include "dataplane/proxy/x.h"\n'))
        self.assertTrue(self.faults("dataplane/route/a.cc", '#include "dataplane/upstream/x.h"\n'))
        self.assertTrue(self.faults("controlplane/serve/a.cc", '#include "dataplane/io/ring.h"\n'))
        self.assertTrue(self.faults("dataplane/main.cc", '#include "controlplane/serve/x.h"\n'))
        self.assertEqual([], self.faults("dataplane/proxy/a.cc", '#include "dataplane/io/ring.h"\n#include "base/check.h"\n'))

    def test_sizes(self):
        self.assertTrue(self.faults("base/a.cc", "int x;\n" * 601))
        body = "  call(1);\n" * 75
        self.assertIn("function run", " ".join(self.faults("base/a.cc", f"void run(int a) {{\n{body}}}\n")))
        self.assertIn("function Ring::run", " ".join(self.faults("base/a.cc", f"void Ring::run(int a) const {{\n{body}}}\n")))
        self.assertEqual([], self.faults("base/a.cc", "namespace a {\n" + "int x;\n" * 80 + "}\n"))
        self.assertEqual([], self.faults("base/a.cc", "class A {\n" + "  int x(int y) { return y; }\n" * 80 + "};\n"))

    def test_braces_in_literals_do_not_count(self):
        text = 'void f() {\n  puts("{{{{");\n  char c = \'{\';\n}\n' + "int x;\n" * 80
        self.assertEqual([], self.faults("base/a.cc", text))

    def test_banned_calls(self):
        self.assertTrue(self.faults("dataplane/io/a.cc", "auto t = std::chrono::steady_clock::now();\n"))
        self.assertTrue(self.faults("dataplane/io/a.cc", 'auto v = getenv("A");\n'))
        self.assertTrue(self.faults("dataplane/io/a.cc", "usleep(5);\n"))
        self.assertEqual([], self.faults("dataplane/io/a_test.cc", "usleep(5);\n"))
        self.assertEqual([], self.faults("base/clock.cc", "clock_gettime(CLOCK_MONOTONIC, &t);\n"))
        self.assertEqual([], self.faults("dataplane/io/a.cc", "// Before fork: tidy: allow(getenv)\nauto v = getenv(kName);\n"))
        self.assertEqual([], self.faults("dataplane/io/a.cc", 'log("never sleep() here");\n'))

    def test_leftovers(self):
        self.assertTrue(self.faults("base/a.cc", "// TODO: later\n"))
        self.assertTrue(self.faults("base/a.cc", "// foo->bar(1, 2);\n"))
        self.assertTrue(self.faults("base/a.cc", "  // count += 2;\n"))
        self.assertEqual([], self.faults("base/a.cc", "// Closes the socket; the op comes back first.\n"))
        self.assertEqual([], self.faults("base/a.cc", "int a;  // 0: none\n"))


if __name__ == "__main__":
    unittest.main()
