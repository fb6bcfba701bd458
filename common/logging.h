#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace spillway {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// Sets the lowest level that is written and the name that stands in each line. Call once, in main,
// before other threads exist, with the signals blocked that main waits for: it starts the thread
// that writes (log_queue.h). Lines go to stderr as "2026-11-21T10:00:00.123Z info  worker  text".
void InitLogging(std::string_view program, LogLevel level);

// Writes `line` to stdout as it is, for people and scripts: in order with the log, and as Log()
// does.
void Announce(std::string_view line);

// Waits until what was logged is written, unless nobody takes it. Before anything else is written
// to stderr, and before an end that runs no destructors.
void FlushLog();

// Lines that whatever reads stderr was too slow for, since InitLogging().
int64_t LogLinesDropped();

// The latest warnings and errors as they were written, the latest last; at most 16.
std::vector<std::string> RecentProblems();

// Writes one line, or has it written: never blocks after InitLogging(). Never a prompt, a token or
// a key. Thread-safe.
void Log(LogLevel level, std::string_view message);

inline void LogDebug(std::string_view message) { Log(LogLevel::kDebug, message); }
inline void LogInfo(std::string_view message) { Log(LogLevel::kInfo, message); }
inline void LogWarning(std::string_view message) { Log(LogLevel::kWarning, message); }
inline void LogError(std::string_view message) { Log(LogLevel::kError, message); }

}  // namespace spillway
