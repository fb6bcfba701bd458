#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace spillway {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// Sets the lowest level that is written and the name that stands in each line. Call once, in main,
// before other threads exist. Lines go to stderr as "2026-11-21T10:00:00.123Z info  worker  text".
void InitLogging(std::string_view program, LogLevel level);

// The latest warnings and errors as they were written, the latest last; at most 16.
std::vector<std::string> RecentProblems();

// Writes one line. Never a prompt, a token or a key. Thread-safe.
void Log(LogLevel level, std::string_view message);

inline void LogDebug(std::string_view message) { Log(LogLevel::kDebug, message); }
inline void LogInfo(std::string_view message) { Log(LogLevel::kInfo, message); }
inline void LogWarning(std::string_view message) { Log(LogLevel::kWarning, message); }
inline void LogError(std::string_view message) { Log(LogLevel::kError, message); }

}  // namespace spillway
