#include "common/log_queue.h"

#include <memory>
#include <string>
#include <vector>

#include "common/mutex.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace spillway {
namespace {

using ::testing::ElementsAre;

// What a log writes into; stands still until it is let go. Lives on with a thread that it holds.
class SlowWriter {
 public:
  static LogQueue::Write To(const std::shared_ptr<SlowWriter>& writer) {
    return [writer](const LogLine& line) {
      MutexLock lock(writer->mutex_);
      while (writer->held_) writer->changed_.Wait(writer->mutex_);
      writer->lines_.push_back(line.text);
      writer->levels_.push_back(line.level);
    };
  }
  void Release() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    held_ = false;
    changed_.NotifyAll();
  }
  std::vector<std::string> lines() const EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return lines_;
  }
  std::vector<LogLevel> levels() const EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return levels_;
  }

 private:
  mutable Mutex mutex_;
  CondVar changed_;
  bool held_ GUARDED_BY(mutex_) = true;
  std::vector<std::string> lines_ GUARDED_BY(mutex_);
  std::vector<LogLevel> levels_ GUARDED_BY(mutex_);
};

LogLine Line(std::string text) { return {.level = LogLevel::kInfo, .text = std::move(text)}; }

TEST(LogQueueTest, WritesInOrderAndAllBeforeItsEnd) {
  const auto writer = std::make_shared<SlowWriter>();
  writer->Release();
  {
    LogQueue log(SlowWriter::To(writer));
    for (int i = 0; i < 100; ++i) log.Push(Line(std::to_string(i)));
  }
  const std::vector<std::string> lines = writer->lines();
  ASSERT_EQ(lines.size(), 100u);
  for (size_t i = 0; i < lines.size(); ++i) EXPECT_EQ(lines[i], std::to_string(i));
}

TEST(LogQueueTest, ASlowLogDropsLinesAndSaysHowMany) {
  const auto writer = std::make_shared<SlowWriter>();
  LogQueue log(SlowWriter::To(writer), {.lines_max = 4});
  for (int i = 0; i < 20; ++i) log.Push(Line("line"));
  writer->Release();
  log.Flush();
  log.Push(Line("last"));
  log.Flush();
  int told = 0;
  int written = 0;
  for (const std::string& line : writer->lines()) {
    if (line == "line") ++written;
    if (line.starts_with("the log is too slow: ")) told += std::stoi(line.substr(21));
  }
  // The four that wait, and perhaps the one in the writer's hands.
  EXPECT_GE(written, 4);
  EXPECT_LE(written, 5);
  EXPECT_EQ(told, 20 - written);
  EXPECT_EQ(log.dropped(), told);
  EXPECT_EQ(writer->lines().back(), "last");
}

TEST(LogQueueTest, ALogThatNobodyTakesHoldsUpNoEnd) {
  const auto writer = std::make_shared<SlowWriter>();
  {
    LogQueue log(SlowWriter::To(writer), {.end_wait = absl::Milliseconds(1)});
    log.Push(Line("a"));
    log.Push(Line("b"));
  }
  EXPECT_THAT(writer->lines(), ElementsAre());
  writer->Release();
}

TEST(LogQueueTest, LevelsStay) {
  const auto writer = std::make_shared<SlowWriter>();
  writer->Release();
  LogQueue log(SlowWriter::To(writer));
  log.Push({.level = LogLevel::kError, .text = "x"});
  log.Flush();
  EXPECT_THAT(writer->levels(), ElementsAre(LogLevel::kError));
}

}  // namespace
}  // namespace spillway
