"""check_tree.py finds what is planted, and nothing in a tree that keeps the rules."""

import pathlib
import tempfile
import unittest

import check_tree
from source_tree import SourceTree

# A small tree that keeps every rule.
GOOD = {
    "common/CMakeLists.txt": "spillway_library(common SOURCES clock.cc LIBS absl::time)\n",
    "common/clock.h": "#pragma once\n",
    "common/clock.cc": '#include "common/clock.h"\nauto t = absl::Now();\n',
    "scheduler/CMakeLists.txt":
        "# The rules are pure.\nspillway_library(scheduler\n  SOURCES scheduler.cc\n  DEPS common)\n",
    "scheduler/scheduler.h": '#pragma once\n#include "common/check.h"\n',
    "scheduler/scheduler.cc": '#include "scheduler/scheduler.h"\n',
    "common/check.h": "#pragma once\n",
    "worker/kernels/CMakeLists.txt":
        "spillway_library(worker/kernels SOURCES rms_norm_reference.cc)\n",
    "worker/kernels/rms_norm.h": "#pragma once\n",
    "worker/kernels/rms_norm_reference.cc": '#include "worker/kernels/rms_norm.h"\n',
    "worker/text/CMakeLists.txt": "spillway_library(worker/text SOURCES tokenizer.cc)\n",
    "worker/text/tokenizer.h": "#pragma once\n",
    "worker/text/tokenizer.cc": '#include "worker/text/tokenizer.h"\n',
    "server/dialects/CMakeLists.txt":
        "spillway_library(server/dialects SOURCES openai_chat.cc ollama_chat.cc)\n",
    "server/dialects/openai_chat.h": "#pragma once\n",
    "server/dialects/openai_chat.cc": '#include "server/dialects/openai_chat.h"\n',
    "server/dialects/ollama_chat.h": "#pragma once\n",
    "server/dialects/ollama_chat.cc": '#include "server/dialects/ollama_chat.h"\n',
    "tests/CMakeLists.txt": "spillway_test(worker/kernels/rms_norm_test DEPS worker/kernels)\n"
                            "spillway_fuzz(tokenizer DEPS worker/text)\n",
    "tests/worker/kernels/rms_norm_test.cc": '#include "worker/kernels/rms_norm.h"\n',
    "tests/fuzz/tokenizer.cc": '#include "worker/text/tokenizer.h"\n',
    "tests/fuzz/corpus/tokenizer/empty": "",
    "dev": "test | run) --quick\n",
    "README.md": "[rules](docs/rules.md): `./dev test --quick` reads `common/clock.h`.\n",
    "docs/rules.md": "One.\n",
}


class CheckTreeTest(unittest.TestCase):

    def check(self, changes=None):
        with tempfile.TemporaryDirectory() as folder:
            for path, text in {**GOOD, **(changes or {})}.items():
                if text is None:
                    continue
                file = pathlib.Path(folder, path)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text)
            return check_tree.check(SourceTree(folder))

    def found(self, path, text, **changes):
        """The (path, line, rule) of all findings once `path` holds `text`."""
        findings, _ = self.check({path: text, **changes})
        return [(finding.path, finding.line, finding.rule) for finding in findings]

    def assert_finds(self, rule, path, text, line=1):
        self.assertIn((path, line, rule), self.found(path, text))

    def assert_passes(self, path, text):
        self.assertEqual(self.found(path, text), [])

    def test_good_tree_has_no_findings(self):
        self.assertEqual(self.check(), ([], []))

    # ---- layers ----

    def test_scheduler_may_not_include_worker(self):
        self.assert_finds("layers", "scheduler/scheduler.cc",
                          '#include "scheduler/scheduler.h"\n#include "worker/text/tokenizer.h"\n', 2)

    def test_kernels_may_not_include_text(self):
        self.assert_finds("layers", "worker/kernels/rms_norm.h",
                          '#pragma once\n#include "worker/text/tokenizer.h"\n', 2)

    def test_text_may_not_include_model(self):
        findings, _ = self.check({
            "worker/model/gguf.h": "#pragma once\n",
            "worker/text/tokenizer.h": '#pragma once\n#include "worker/model/gguf.h"\n'})
        self.assertIn("layers", [finding.rule for finding in findings])

    def test_generated_code_stays_at_the_edge(self):
        text = '#include "proto/worker.pb.h"\n'
        self.assert_finds("layers", "worker/engine_loop.cc", text)
        self.assertNotIn(("worker/worker_service.cc", 1, "layers"),
                         self.found("worker/worker_service.cc", text))

    def test_dialects_do_not_know_each_other(self):
        self.assert_finds("layers", "server/dialects/openai_chat.cc",
                          '#include "server/dialects/ollama_chat.h"\n')

    def test_commented_include_is_none(self):
        self.assert_passes("scheduler/scheduler.cc",
                           '#include "scheduler/scheduler.h"\n// #include "worker/text/tokenizer.h"\n')

    def test_includes_are_rooted_and_exist(self):
        self.assert_finds("rooted_include", "scheduler/scheduler.cc", '#include "scheduler.h"\n')
        self.assert_finds("rooted_include", "scheduler/scheduler.cc", '#include "common/gone.h"\n')

    def test_file_outside_the_layout(self):
        self.assert_finds("layers", "helpers/strings.h", "#pragma once\n")

    # ---- CMake ----

    def test_missing_dep(self):
        self.assert_finds("deps", "scheduler/CMakeLists.txt",
                          "spillway_library(scheduler SOURCES scheduler.cc)\n")

    def test_superfluous_dep(self):
        self.assert_finds("deps", "worker/text/CMakeLists.txt",
                          "spillway_library(worker/text SOURCES tokenizer.cc DEPS common)\n")

    def test_superfluous_dep_of_a_test(self):
        self.assert_finds("deps", "tests/CMakeLists.txt",
                          GOOD["tests/CMakeLists.txt"].replace("DEPS worker/kernels",
                                                               "DEPS worker/kernels common"))

    def test_fake_of_tests_support_counts_for_its_user(self):
        findings, _ = self.check({
            "tests/support/manual_clock.h": '#pragma once\n#include "common/clock.h"\n',
            "tests/worker/kernels/rms_norm_test.cc":
                '#include "worker/kernels/rms_norm.h"\n#include "tests/support/manual_clock.h"\n'})
        self.assertEqual([finding.message for finding in findings],
                         ["worker/kernels/rms_norm_test includes from common "
                          "(tests/support/manual_clock.h:2); add it to DEPS"])

    def test_sources_may_stand_in_a_variable(self):
        self.assert_passes("worker/text/CMakeLists.txt",
                           "set(sources tokenizer.cc)\n"
                           "spillway_library(worker/text SOURCES ${sources})\n")

    def test_targets_may_stand_in_a_loop(self):
        loop = "foreach(name rms_norm rope)\n" \
               "  spillway_test(worker/kernels/${name}_test DEPS worker/kernels)\nendforeach()\n"
        rest = "spillway_fuzz(tokenizer DEPS worker/text)\n"
        findings, _ = self.check({
            "tests/CMakeLists.txt": loop + rest,
            "tests/worker/kernels/rope_test.cc": '#include "common/clock.h"\n'})
        self.assertEqual([(finding.line, finding.message) for finding in findings], [
            (2, "worker/kernels/rope_test includes from common "
                "(tests/worker/kernels/rope_test.cc:1); add it to DEPS"),
            (2, "worker/kernels/rope_test includes nothing from worker/kernels; "
                "take it out of DEPS")])
        self.assertEqual(self.found("tests/CMakeLists.txt", loop + rest + "spillway_binary(x\n"
                                    "  DEPS common)\n")[-1][:2], ("tests/CMakeLists.txt", 5))

    def test_source_in_no_target(self):
        self.assert_finds("unbuilt", "scheduler/forgotten.cc", "\n")

    def test_test_in_no_cmake_file(self):
        self.assert_finds("unbuilt", "tests/scheduler/forgotten_test.cc", "\n")
        self.assert_finds("unbuilt", "tests/tidy/forgotten_test.py", "\n")

    # ---- banned calls ----

    def test_pure_folders_include_no_threads_or_clock(self):
        for header in ("<thread>", "<chrono>", "<mutex>", "<random>", '"common/clock.h"',
                       '"absl/time/clock.h"', '"boost/asio.hpp"'):
            self.assert_finds("pure", "scheduler/scheduler.cc",
                              f'#include "scheduler/scheduler.h"\n#include {header}\n', 2)

    def test_router_policies_are_pure_and_its_streams_are_not(self):
        self.assertIn(("router/balancer.h", 2, "pure"),
                      self.found("router/balancer.h", "#pragma once\n#include <mutex>\n"))
        self.assert_passes("router/worker_upstream.h", "#pragma once\n#include <mutex>\n")

    def test_banned_calls(self):
        for rule, line in (
                ("wall_clock", "auto t = absl::Now();"),
                ("wall_clock", "auto t = std::chrono::steady_clock::now();"),
                ("wall_clock", "auto t = time(nullptr);"),
                ("wall_clock", "auto t = std::time(&now);"),
                ("sleep", "std::this_thread::sleep_for(x);"),
                ("sleep", "usleep(10);"),
                ("unseeded_random", "int r = rand();"),
                ("unseeded_random", "std::random_device device;"),
                ("shell", 'std::system("ls");'),
                ("new", "Foo* foo = new Foo(1);"),
                ("malloc", "void* p = malloc(8);"),
                ("malloc", "cudaMalloc(&p, 8);"),
                ("environment", 'getenv("HOME");'),
                ("mutable_global", "static int count = 0;"),
                ("mutable_global", "  static std::atomic<int> count{0};"),
                ("mutable_global", "thread_local Foo foo;"),
                ("raw_mutex", "std::mutex mutex_;"),
                ("throw", 'throw std::runtime_error("x");')):
            with self.subTest(line=line):
                self.assertEqual(
                    self.found("worker/text/tokenizer.cc",
                               f'#include "worker/text/tokenizer.h"\n{line}\n'),
                    [("worker/text/tokenizer.cc", 2, rule)])

    def test_look_alikes_pass(self):
        for line in (
                "// A new Foo would malloc(8) and sleep_for(1), or call rand().",
                'Log("time(nullptr) and absl::Now()");',
                'R"(static int x = 0; new Foo)";',
                "std::unique_ptr<Foo> foo(new Foo(1));",
                "return std::unique_ptr<Foo>(new Foo(1));",
                "impl_.reset(new Impl);",
                "new (place) Foo(1);",
                "int runtime(int x);",
                "clock.time();",
                "absl::Time time(clock);",
                "static constexpr int kCount = 1;",
                "static const std::string_view kName = name;",
                "static int Count(int x);",
                "static_assert(sizeof(int) == 4);",
                "int big = 1'000'000; int x = 'n';"):
            with self.subTest(line=line):
                self.assert_passes("worker/text/tokenizer.cc",
                                   f'#include "worker/text/tokenizer.h"\n{line}\n')

    def test_main_may_read_the_environment_and_the_clock(self):
        findings, _ = self.check({
            "worker/CMakeLists.txt": "spillway_binary(spillway-worker SOURCES main.cc)\n",
            "worker/main.cc": 'auto t = absl::Now();\nauto home = getenv("HOME");\n'})
        self.assertEqual(findings, [])

    def test_device_owns_memory(self):
        findings, _ = self.check({
            "worker/device/CMakeLists.txt": "spillway_library(worker/device SOURCES buffer.cc)\n",
            "worker/device/buffer.cc": "void* p = std::aligned_alloc(64, 64);\n"})
        self.assertEqual(findings, [])

    def test_open_todo_names_an_issue(self):
        self.assert_finds("todo", "common/check.h", "#pragma once\n// TODO: later\n", 2)
        self.assert_passes("common/check.h", "#pragma once\n// TODO(#12): later\n")

    def test_header_needs_pragma_once(self):
        self.assert_finds("pragma_once", "common/check.h", "int x;\n")

    def test_disabled_test(self):
        self.assertIn(("tests/worker/kernels/rms_norm_test.cc", 2, "disabled_test"),
                      self.found("tests/worker/kernels/rms_norm_test.cc",
                                 '#include "worker/kernels/rms_norm.h"\nTEST(A, DISABLED_B) {}\n'))

    # ---- form ----

    def test_operator_needs_oracle_and_test(self):
        self.assertEqual(self.found("worker/kernels/rope.h", "#pragma once\n"),
                         [("worker/kernels/rope.h", 1, "operator")] * 2)

    def test_fuzz_target_needs_a_corpus(self):
        findings, _ = self.check({"tests/fuzz/corpus/tokenizer/empty": None})
        self.assertEqual([finding.rule for finding in findings], ["corpus"])

    def test_addresses_of_one_machine_and_of_registries(self):
        host = ".".join(("pypi", "org"))
        self.assert_finds("machine_path", "docs/rules.md", "See /" + "work/x.\n")
        self.assert_finds("registry", "docs/rules.md", f"pip -i https://{host}/simple\n")
        self.assert_passes("docs/rules.md", "`tests/worker/text` and /worker/x\n")

    def test_prose_names_what_exists(self):
        self.assert_finds("dead_link", "README.md", "[gone](docs/gone.md)\n")
        self.assert_finds("dead_path", "README.md", "see `router/gone.h`\n")
        self.assert_passes("README.md", "see `router/NAME.h`\n")
        self.assert_finds("dead_command", "README.md", "run ./dev deploy\n")
        self.assert_finds("dead_command", "README.md", "run ./dev test --fast\n")
        self.assert_passes("README.md", "./dev run --workers 2\n")

    def test_lengths_are_warnings(self):
        body = "  int x;\n" * 61
        findings, warnings = self.check({
            "scheduler/scheduler.cc": '#include "scheduler/scheduler.h"\n\n'
                                      f"void Scheduler::Plan(\n    int now) {{\n{body}}}\n" +
                                      "\n" * 400})
        self.assertEqual(findings, [])
        self.assertEqual([(warning.line, warning.rule) for warning in warnings],
                         [(1, "file_length"), (4, "function_length")])

    def test_code_in_a_comment_is_a_warning(self):
        _, warnings = self.check({
            "common/check.h": "#pragma once\n// DoThat(now);\n// Calls DoThat(now).\n"})
        self.assertEqual([(warning.line, warning.rule) for warning in warnings],
                         [(2, "commented_out")])

    # ---- documents ----

    def test_tests_that_documents_name_exist(self):
        tests = {"tests/worker/kernels/rms_norm_test.cc":
                     '#include "worker/kernels/rms_norm.h"\nTEST_F(RmsNormTest,\n       IsExact) {}\n',
                 "tests/integration/kill_test.py": "def test_all(server):\n    pass\n"}
        good = "`RmsNormTest.IsExact` `kill_test.py` `kill_test.py::test_all` `::test_all` `Clock::Now`\n"
        self.assertEqual(self.found("docs/rules.md", good, **tests), [])
        for gone in ("`RmsNormTest.IsQuick`", "`KillTest.IsExact`", "`gone_test.py`",
                     "`kill_test.py::test_some`", "`kill_test.py` `::test_some`", "`::test_all`"):
            with self.subTest(gone):
                self.assertEqual(self.found("docs/rules.md", f"One.\n{gone}\n", **tests),
                                 [("docs/rules.md", 2, "named_test")])

    # ---- exceptions ----

    def test_exception_excuses_one_rule_of_one_file(self):
        findings, _ = self.check({
            "common/check.h": "int x;\n",
            "common/clock.h": "int y;\n",
            check_tree.EXCEPTIONS: "# Why.\npragma_once common/check.h: included twice on purpose\n"})
        self.assertEqual([finding.path for finding in findings], ["common/clock.h"])

    def test_exception_that_excuses_nothing(self):
        self.assert_finds("exceptions", check_tree.EXCEPTIONS,
                          "pragma_once common/check.h: was needed once\n")

    def test_exception_without_a_reason(self):
        self.assert_finds("exceptions", check_tree.EXCEPTIONS, "pragma_once common/check.h:\n")


if __name__ == "__main__":
    unittest.main()
