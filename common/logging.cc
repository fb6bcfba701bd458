#include "common/logging.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "common/log_queue.h"
#include "spdlog/details/os.h"
#include "spdlog/pattern_formatter.h"
#include "spdlog/sinks/ringbuffer_sink.h"
#include "spdlog/spdlog.h"

namespace spillway {
namespace {

constexpr size_t kProblemsMax = 16;
constexpr char kPattern[] = "%Y-%m-%dT%H:%M:%S.%eZ %^%-7l%$ %n  %v";

spdlog::level::level_enum ToSpdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

LogLevel FromSpdlog(spdlog::level::level_enum level) {
  if (level <= spdlog::level::debug) return LogLevel::kDebug;
  if (level == spdlog::level::info) return LogLevel::kInfo;
  return level == spdlog::level::warn ? LogLevel::kWarning : LogLevel::kError;
}

// Writes lines to stderr and stdout. Not by stdio: a thread that stands in its write() holds the
// lock of the stream, which the end of a process waits for.
class LineWriter {
 public:
  explicit LineWriter(std::string program)
      : program_(std::move(program)),
        colored_(spdlog::details::os::in_terminal(stderr) &&
                 spdlog::details::os::is_color_terminal()),
        formatter_(std::make_unique<spdlog::pattern_formatter>(kPattern,
                                                               spdlog::pattern_time_type::utc)) {}

  void Write(const LogLine& line) {
    if (line.announced) {
      WriteAll(STDOUT_FILENO, line.text + "\n");
    } else {
      WriteAll(STDERR_FILENO, Format(line));
    }
  }

 private:
  static constexpr char kPlain[] = "\033[m";
  static const char* ColorOf(LogLevel level) {
    switch (level) {
      case LogLevel::kDebug:
        return "\033[36m";
      case LogLevel::kInfo:
        return "\033[32m";
      case LogLevel::kWarning:
        return "\033[33m\033[1m";
      case LogLevel::kError:
        return "\033[31m\033[1m";
    }
    return kPlain;
  }

  std::string Format(const LogLine& line) {
    const spdlog::details::log_msg message(line.time, {}, program_, ToSpdlog(line.level),
                                           spdlog::string_view_t(line.text));
    spdlog::memory_buf_t text;
    formatter_->format(message, text);
    std::string bytes(text.data(), text.size());
    if (colored_) {
      bytes.insert(message.color_range_end, kPlain);
      bytes.insert(message.color_range_start, ColorOf(line.level));
    }
    return bytes;
  }
  static void WriteAll(int file, std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t written = ::write(file, bytes.data(), bytes.size());
      if (written < 0 && errno != EINTR) return;  // There is nobody to tell.
      if (written > 0) bytes.remove_prefix(static_cast<size_t>(written));
    }
  }

  const std::string program_;
  const bool colored_;
  const std::unique_ptr<spdlog::formatter> formatter_;
};

// Hands each line to a queue, whose thread writes it.
class QueuedSink : public spdlog::sinks::sink {
 public:
  explicit QueuedSink(const std::string& program)
      : queue_([writer = std::make_shared<LineWriter>(program)](const LogLine& line) {
          writer->Write(line);
        }) {}

  void log(const spdlog::details::log_msg& line) override {
    queue_.Push({.time = line.time,
                 .level = FromSpdlog(line.level),
                 .text = std::string(line.payload.data(), line.payload.size())});
  }
  void Announce(std::string_view line) {
    queue_.Push({.text = std::string(line), .announced = true});
  }
  void flush() override { queue_.Flush(); }
  void set_pattern(const std::string&) override {}
  void set_formatter(std::unique_ptr<spdlog::formatter>) override {}
  int64_t dropped() const { return queue_.dropped(); }

 private:
  LogQueue queue_;
};

// The first of the logger's sinks that is a T; null before InitLogging().
template <typename T>
T* FindSink() {
  for (const spdlog::sink_ptr& sink : spdlog::default_logger_raw()->sinks()) {
    if (auto* const found = dynamic_cast<T*>(sink.get())) return found;
  }
  return nullptr;
}

}  // namespace

void InitLogging(std::string_view program, LogLevel level) {
  auto logger = std::make_shared<spdlog::logger>(
      std::string(program), std::make_shared<QueuedSink>(std::string(program)));
  auto problems = std::make_shared<spdlog::sinks::ringbuffer_sink_mt>(kProblemsMax);
  problems->set_level(spdlog::level::warn);
  logger->sinks().push_back(std::move(problems));
  logger->set_level(ToSpdlog(level));
  logger->set_pattern(kPattern, spdlog::pattern_time_type::utc);
  spdlog::set_default_logger(std::move(logger));
}

void Announce(std::string_view line) {
  if (auto* const queued = FindSink<QueuedSink>()) return queued->Announce(line);
  std::puts(std::string(line).c_str());
}

void FlushLog() { spdlog::default_logger_raw()->flush(); }

int64_t LogLinesDropped() {
  const auto* const queued = FindSink<QueuedSink>();
  return queued == nullptr ? 0 : queued->dropped();
}

std::vector<std::string> RecentProblems() {
  auto* const problems = FindSink<spdlog::sinks::ringbuffer_sink_mt>();
  if (problems == nullptr) return {};
  std::vector<std::string> lines = problems->last_formatted();
  for (std::string& line : lines) {
    while (!line.empty() && line.back() == '\n') line.pop_back();
  }
  return lines;
}

void Log(LogLevel level, std::string_view message) {
  spdlog::default_logger_raw()->log(ToSpdlog(level),
                                    spdlog::string_view_t(message.data(), message.size()));
}

}  // namespace spillway
