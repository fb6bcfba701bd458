#include "common/logging.h"

#include <memory>
#include <string>
#include <utility>

#include "spdlog/sinks/ringbuffer_sink.h"
#include "spdlog/sinks/stdout_color_sinks.h"
#include "spdlog/spdlog.h"

namespace spillway {
namespace {

constexpr size_t kProblemsMax = 16;

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

}  // namespace

void InitLogging(std::string_view program, LogLevel level) {
  auto logger = std::make_shared<spdlog::logger>(
      std::string(program), std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
  auto problems = std::make_shared<spdlog::sinks::ringbuffer_sink_mt>(kProblemsMax);
  problems->set_level(spdlog::level::warn);
  logger->sinks().push_back(std::move(problems));
  logger->set_level(ToSpdlog(level));
  logger->set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %^%-7l%$ %n  %v", spdlog::pattern_time_type::utc);
  logger->flush_on(spdlog::level::debug);
  spdlog::set_default_logger(std::move(logger));
}

std::vector<std::string> RecentProblems() {
  for (const spdlog::sink_ptr& sink : spdlog::default_logger_raw()->sinks()) {
    auto* problems = dynamic_cast<spdlog::sinks::ringbuffer_sink_mt*>(sink.get());
    if (problems == nullptr) continue;
    std::vector<std::string> lines = problems->last_formatted();
    for (std::string& line : lines) {
      while (!line.empty() && line.back() == '\n') line.pop_back();
    }
    return lines;
  }
  return {};
}

void Log(LogLevel level, std::string_view message) {
  spdlog::default_logger_raw()->log(ToSpdlog(level),
                                    spdlog::string_view_t(message.data(), message.size()));
}

}  // namespace spillway
