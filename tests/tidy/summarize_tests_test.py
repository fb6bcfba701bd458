"""tools/summarize_tests.py counts what really happened."""

import io
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))
import summarize_tests  # noqa: E402

CTEST = """<testsuite>
  <testcase name="router/quota_test" classname="router/quota_test" status="{status}">{inner}</testcase>
</testsuite>"""
GTEST = """<testsuites><testsuite>
  <testcase name="Allows" status="run" result="completed" classname="QuotaTest"/>
  <testcase name="Refuses" status="run" result="completed" classname="QuotaTest">{inner}</testcase>
</testsuite></testsuites>"""


class SummaryTest(unittest.TestCase):

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.build = pathlib.Path(folder.name)
        (self.build / "test_results").mkdir()

    def write(self, name, text):
        (self.build / "test_results" / name).write_text(text)

    def summary(self, *failed_steps):
        out = io.StringIO()
        good = summarize_tests.summarize([self.build], list(failed_steps), out)
        return good, out.getvalue().splitlines()

    def test_cases_of_a_test_program_are_counted_singly(self):
        self.write("ctest.xml", CTEST.format(status="run", inner=""))
        self.write("router_quota_test.xml", GTEST.format(inner=""))
        self.assertEqual(self.summary(), (True, ["2 passed, 0 failed, 0 skipped"]))

    def test_failed_case_counts_once(self):
        self.write("ctest.xml", CTEST.format(status="fail", inner="<failure/>"))
        self.write("router_quota_test.xml", GTEST.format(inner="<failure/>"))
        good, lines = self.summary("all tests")
        self.assertFalse(good)
        self.assertEqual(lines, ["failed: router/quota_test: QuotaTest.Refuses",
                                 "1 passed, 1 failed, 0 skipped"])

    def test_program_that_died_without_a_report_is_a_failure(self):
        self.write("ctest.xml", CTEST.format(status="fail", inner="<failure/>"))
        good, lines = self.summary("all tests")
        self.assertFalse(good)
        self.assertEqual(lines[-1], "0 passed, 1 failed, 0 skipped")

    def test_program_that_died_after_its_report_is_a_failure(self):
        self.write("ctest.xml", CTEST.format(status="fail", inner="<failure/>"))
        self.write("router_quota_test.xml", GTEST.format(inner=""))
        good, lines = self.summary("all tests")
        self.assertFalse(good)
        self.assertEqual(lines[-1], "2 passed, 1 failed, 0 skipped")

    def test_skipped_case_tells_why(self):
        self.write("ctest.xml", CTEST.format(status="run", inner=""))
        self.write("router_quota_test.xml",
                   GTEST.format(inner='<skipped message="quota_test.cc:12&#x0A;no network"/>'))
        self.assertEqual(self.summary(), (True, [
            "skipped: router/quota_test: QuotaTest.Refuses: no network",
            "1 passed, 0 failed, 1 skipped"]))

    def test_failed_build_is_a_failure_though_all_tests_passed(self):
        self.write("ctest.xml", CTEST.format(status="run", inner=""))
        good, lines = self.summary("build asan")
        self.assertFalse(good)
        self.assertEqual(lines[-1], "1 passed, 1 failed, 0 skipped")

    def test_failed_step_without_a_failed_test_is_a_failure(self):
        self.write("pytest.xml", "<testsuites><testsuite/></testsuites>")
        good, lines = self.summary("integration tests")
        self.assertFalse(good)
        self.assertEqual(lines[-1], "0 passed, 1 failed, 0 skipped")

    def test_nothing_passed_is_no_success(self):
        good, lines = self.summary()
        self.assertFalse(good)
        self.assertEqual(lines, ["0 passed, 0 failed, 0 skipped"])


if __name__ == "__main__":
    unittest.main()
