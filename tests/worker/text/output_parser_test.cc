#include "worker/text/output_parser.h"

#include <random>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "worker/text/utf8.h"

namespace spillway {
namespace {

using ::testing::AllOf;
using ::testing::Field;

const ReasoningFormat& FormatNamed(std::string_view name) {
  for (const ReasoningFormat& format : ReasoningFormats()) {
    if (format.name == name) return format;
  }
  ADD_FAILURE() << "no format " << name;
  return ReasoningFormats()[0];
}

OutputText Parse(const ReasoningFormat* format, bool open, const std::vector<std::string>& pieces) {
  OutputParser parser({.format = format, .open = open});
  OutputText out;
  for (const std::string& piece : pieces) parser.Append(piece, out);
  parser.Flush(out);
  return out;
}

OutputText Think(const std::string& text, bool open = false) {
  return Parse(&FormatNamed("think"), open, {text});
}

auto Is(const std::string& reasoning, const std::string& content) {
  return AllOf(Field(&OutputText::reasoning, reasoning), Field(&OutputText::content, content));
}

TEST(OutputParserTest, ReasoningIsWhatStandsBetweenTheMarkersAtTheBeginning) {
  EXPECT_THAT(Think("<think>hm</think>yes"), Is("hm", "yes"));
  EXPECT_THAT(Think("\n <think>hm</think>yes"), Is("hm", "yes"));
  EXPECT_THAT(Think("hm</think>yes", /*open=*/true), Is("hm", "yes"));
  EXPECT_THAT(Think("<think>hm</think>yes", /*open=*/true), Is("hm", "yes"));
  EXPECT_THAT(Think("<think></think>yes"), Is("", "yes"));
  EXPECT_THAT(Think("</think>yes", /*open=*/true), Is("", "yes"));
}

TEST(OutputParserTest, WithoutTheCloseMarkerAllIsReasoning) {
  EXPECT_THAT(Think("<think>hm"), Is("hm", ""));
  EXPECT_THAT(Think("hm </thin", /*open=*/true), Is("hm </thin", ""));
  EXPECT_THAT(Think("", /*open=*/true), Is("", ""));
}

TEST(OutputParserTest, WhitespaceAroundTheReasoningIsDropped) {
  EXPECT_THAT(Think("<think>\n\n a \n b \n\n</think>\n\n yes \n"), Is("a \n b", "yes \n"));
  EXPECT_THAT(Think("<think> \n"), Is("", ""));
  EXPECT_THAT(Think("a \t\r\n", /*open=*/true), Is("a", ""));
  EXPECT_THAT(Think("<think>a</think>\n\n"), Is("a", ""));
}

TEST(OutputParserTest, ContentWithoutReasoningStaysAsItIs) {
  EXPECT_THAT(Think("  \nyes \n"), Is("", "  \nyes \n"));
  EXPECT_THAT(Think(" \n"), Is("", " \n"));
  EXPECT_THAT(Think("<thin"), Is("", "<thin"));
  EXPECT_THAT(Think(" <thinker"), Is("", " <thinker"));
  EXPECT_THAT(Parse(nullptr, false, {" <think>a</think>b "}), Is("", " <think>a</think>b "));
}

TEST(OutputParserTest, MarkersAnywhereElseAreText) {
  EXPECT_THAT(Think("Say <think>x</think>."), Is("", "Say <think>x</think>."));
  EXPECT_THAT(Think("<think>a</think>b<think>c</think>d"), Is("a", "b<think>c</think>d"));
  EXPECT_THAT(Think("<think>a <think> b</think>c"), Is("a <think> b", "c"));
  EXPECT_THAT(Think("x</think>y"), Is("", "x</think>y"));
}

TEST(OutputParserTest, AnswersMayBeWrappedToo) {
  const auto granite = [](const std::string& text) {
    return Parse(&FormatNamed("granite"), false, {text});
  };
  EXPECT_THAT(granite("<think>a</think>\n<response>\nb\n</response>\n"), Is("a", "b\n"));
  EXPECT_THAT(granite("<think>a</think>b</response>"), Is("a", "b</response>"));
  EXPECT_THAT(granite("<response>b</response> c"), Is("", "b c"));
  EXPECT_THAT(granite("<think>a</think><response>b </resp"), Is("a", "b </resp"));

  const auto harmony = [](const std::string& text) {
    return Parse(&FormatNamed("harmony"), false, {text});
  };
  EXPECT_THAT(harmony("<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final"
                      "<|message|>b"),
              Is("a", "b"));
  EXPECT_THAT(harmony("<|channel|>final<|message|>b"), Is("", "b"));
}

TEST(OutputParserTest, ControlTokensAreMarkersOrNothing) {
  OutputParser parser({.format = &FormatNamed("mistral")});
  OutputText out;

  parser.AppendControl("<s>", out);
  parser.AppendControl("[THINK]", out);
  parser.Append("a", out);
  parser.AppendControl("[INST]", out);
  parser.Append("b", out);
  parser.AppendControl("[/THINK]", out);
  parser.AppendControl("[THINK]", out);
  parser.Append("c", out);
  parser.AppendControl("[/THINK]", out);
  parser.Flush(out);

  EXPECT_THAT(out, Is("ab", "c"));
}

TEST(OutputParserTest, MarkersMayBeOfSeveralTokens) {
  OutputParser parser({.format = &FormatNamed("solar")});
  OutputText out;

  parser.AppendControl("<|think|>", out);
  parser.Append("a", out);
  parser.AppendControl("<|end|>", out);
  parser.AppendControl("<|begin|>", out);
  parser.Append("assistant", out);
  parser.AppendControl("<|content|>", out);
  parser.Append("b", out);
  parser.Flush(out);

  EXPECT_THAT(out, Is("a", "b"));
}

TEST(OutputParserTest, TextComesOutAsSoonAsItIsSettled) {
  OutputParser parser({.format = &FormatNamed("think")});
  const auto append = [&](const std::string& text) {
    OutputText out;
    parser.Append(text, out);
    return out;
  };
  EXPECT_THAT(append("\n<thi"), Is("", ""));
  EXPECT_THAT(append("nk>\nab"), Is("ab", ""));
  EXPECT_THAT(append(" \n"), Is("", ""));
  EXPECT_THAT(append("c</"), Is(" \nc", ""));
  EXPECT_TRUE(parser.in_reasoning());
  EXPECT_THAT(append("x "), Is("</x", ""));
  EXPECT_THAT(append("</think>"), Is("", ""));
  EXPECT_FALSE(parser.in_reasoning());
  EXPECT_TRUE(parser.reasoning_closed());
  EXPECT_THAT(append("\n\n"), Is("", ""));
  EXPECT_THAT(append("d \n<think>"), Is("", "d \n<think>"));
}

// --- every way to cut ---

// What the header promises, told again for a whole text.
class WholeText {
 public:
  WholeText(const ReasoningFormat& format, std::string_view text) : format_(format), text_(text) {}

  OutputText Parse(bool open) {
    const std::string_view all = text_;
    Strip();
    if (open || Take(format_.opens)) {
      do {
        Strip();
      } while (Take(format_.opens));
      out_.reasoning = UpTo(format_.closes);
      Strip();
    } else if (!BeginsWith(format_.answer_opens)) {
      text_ = all;
    }
    if (Take(format_.answer_opens) && !format_.answer_closes[0].empty()) {
      Strip();
      const bool closed = Find(format_.answer_closes).first != std::string_view::npos;
      if (closed) out_.content = UpTo(format_.answer_closes);
    }
    out_.content += text_;
    return out_;
  }

 private:
  static constexpr std::string_view kSpace = " \n\t\r";

  void Strip() { text_.remove_prefix(std::min(text_.find_first_not_of(kSpace), text_.size())); }

  bool BeginsWith(const ReasoningFormat::Markers& markers) const {
    for (const std::string_view marker : markers) {
      if (!marker.empty() && text_.starts_with(marker)) return true;
    }
    return false;
  }

  bool Take(const ReasoningFormat::Markers& markers) {
    for (const std::string_view marker : markers) {
      if (marker.empty() || !text_.starts_with(marker)) continue;
      text_.remove_prefix(marker.size());
      return true;
    }
    return false;
  }

  // Where the first of the markers begins, and its size.
  std::pair<size_t, size_t> Find(const ReasoningFormat::Markers& markers) const {
    std::pair<size_t, size_t> first = {std::string_view::npos, 0};
    for (const std::string_view marker : markers) {
      if (!marker.empty()) first = std::min(first, std::pair(text_.find(marker), marker.size()));
    }
    return first;
  }

  // The text before the marker, or all of it, without whitespace at its end; goes on behind.
  std::string UpTo(const ReasoningFormat::Markers& markers) {
    const auto [at, size] = Find(markers);
    const std::string_view before = text_.substr(0, at);
    text_ = at == std::string_view::npos ? "" : text_.substr(at + size);
    return std::string(before.substr(0, before.find_last_not_of(kSpace) + 1));
  }

  const ReasoningFormat& format_;
  std::string_view text_;
  OutputText out_;
};

std::vector<std::string> Characters(std::string_view text) {
  std::vector<std::string> characters;
  while (!text.empty()) {
    const auto size = static_cast<size_t>(FirstUtf8Character(text).size);
    characters.emplace_back(text.substr(0, size));
    text.remove_prefix(size);
  }
  return characters;
}

std::string Join(const std::vector<std::string>& parts, size_t begin, size_t end) {
  std::string text;
  for (size_t i = begin; i < end; ++i) text += parts[i];
  return text;
}

std::vector<std::string_view> MarkersOf(const ReasoningFormat& format) {
  std::vector<std::string_view> markers;
  for (const auto* list :
       {&format.opens, &format.closes, &format.answer_opens, &format.answer_closes}) {
    for (const std::string_view marker : *list) {
      if (!marker.empty()) markers.push_back(marker);
    }
  }
  return markers;
}

// A text of markers, their beginnings and ends, whitespace and characters of all sizes.
std::string RandomText(const ReasoningFormat& format, std::mt19937_64& random, size_t parts_max) {
  const std::vector<std::string_view> markers = MarkersOf(format);
  constexpr std::string_view kTexts[] = {"a",  "b c",  "é", "世", "😀", "<", "\n", " ",
                                         "\t", "\r\n", "[", "◁",  "◀",  "|", ">",  "</"};
  std::string text;
  for (size_t parts = random() % (parts_max + 1); parts > 0; --parts) {
    const std::string_view marker = markers[random() % markers.size()];
    switch (random() % 4) {
      case 0:
        text += marker;
        break;
      case 1:
        text += Join(Characters(marker), 0, random() % Characters(marker).size());
        break;
      default:
        text += kTexts[random() % std::size(kTexts)];
    }
  }
  return text;
}

void ExpectPieces(const ReasoningFormat& format, bool open, const std::vector<std::string>& pieces,
                  const OutputText& expected) {
  ASSERT_THAT(Parse(&format, open, pieces), Is(expected.reasoning, expected.content))
      << format.name << (open ? ", open: " : ": ") << testing::PrintToString(pieces);
}

TEST(OutputParserCutTest, AllCutsIntoTwoAndThree) {
  std::mt19937_64 random(1);
  for (const ReasoningFormat& format : ReasoningFormats()) {
    for (int i = 0; i < 12; ++i) {
      const std::string text = RandomText(format, random, 7);
      const bool open = i % 2 == 0;
      const OutputText expected = WholeText(format, text).Parse(open);
      const std::vector<std::string> characters = Characters(text);
      const size_t count = characters.size();
      for (size_t first = 0; first <= count; ++first) {
        for (size_t second = first; second <= count; ++second) {
          ASSERT_NO_FATAL_FAILURE(
              ExpectPieces(format, open,
                           {Join(characters, 0, first), Join(characters, first, second),
                            Join(characters, second, count)},
                           expected));
        }
      }
    }
  }
}

TEST(OutputParserCutTest, RandomCuts) {
  std::mt19937_64 random(2);
  for (int i = 0; i < 20'000; ++i) {
    const ReasoningFormat& format = ReasoningFormats()[random() % ReasoningFormats().size()];
    const std::string text = RandomText(format, random, 24);
    std::vector<std::string> pieces(1);
    const uint64_t cut_every = 1 + random() % 6;
    for (const std::string& character : Characters(text)) {
      if (random() % cut_every == 0) pieces.emplace_back();
      pieces.back() += character;
    }
    const bool open = random() % 2 == 0;
    ASSERT_NO_FATAL_FAILURE(
        ExpectPieces(format, open, pieces, WholeText(format, text).Parse(open)));
  }
}

TEST(OutputParserCutTest, MuchHeldWhitespaceTakesLinearTime) {
  const std::string space(1 << 20, '\n');
  EXPECT_THAT(Think(space + "<think>a" + space + "b" + space + "</think>" + space + "c"),
              Is("a" + space + "b", "c"));
}

// --- formats ---

TEST(ReasoningFormatTest, NoMarkerBeginsAnotherThatIsLookedForWithIt) {
  for (const ReasoningFormat& format : ReasoningFormats()) {
    SCOPED_TRACE(format.name);
    EXPECT_FALSE(format.opens[0].empty());
    EXPECT_FALSE(format.closes[0].empty());
    for (const std::string_view marker : MarkersOf(format)) {
      EXPECT_EQ(marker.find_first_of(" \n\t\r"), marker.find_first_of(" ")) << marker;
      EXPECT_NE(marker[0], ' ') << marker;
      for (const std::string_view other : MarkersOf(format)) {
        EXPECT_TRUE(marker == other || !other.starts_with(marker)) << marker << other;
      }
    }
  }
}

}  // namespace
}  // namespace spillway
