#include "worker/text/pre_tokenizer.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "worker/text/utf8.h"

namespace spillway {
namespace {

// The expressions are those of the families' tokenizer.json files. Their \s is Unicode's
// White_Space, PCRE2's is not quite (it has U+180E), so it is spelled as a property here.
#define WHITE R"(\p{White_Space})"
#define NOT_WHITE R"(\P{White_Space})"
#define TRAILING_WHITE WHITE "+(?!" NOT_WHITE ")|" WHITE "+"
#define NEWLINES WHITE R"(*[\r\n]+)"
#define CONTRACTION R"((?i:'s|'t|'re|'ve|'m|'ll|'d))"

constexpr const char* kDigit = R"(\p{N})";
constexpr const char* kThreeDigits = R"(\p{N}{1,3})";
constexpr const char* kGpt2 =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^)" WHITE R"(\p{L}\p{N}]+|)" TRAILING_WHITE;
constexpr const char* kLlama3 = CONTRACTION R"(|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^)" WHITE
                                            R"(\p{L}\p{N}]+[\r\n]*|)" NEWLINES "|" TRAILING_WHITE;
constexpr const char* kQwen2 = CONTRACTION R"(|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^)" WHITE
                                           R"(\p{L}\p{N}]+[\r\n]*|)" NEWLINES "|" TRAILING_WHITE;
constexpr const char* kPunctuationRun = R"([\p{P}\$\+<=>\^~\|]+)";
constexpr const char* kDigits = R"(\p{N}+)";
constexpr const char* kThreeAsciiDigits = "[0-9][0-9][0-9]";
constexpr const char* kDeepSeek3Han = R"([\x{4E00}-\x{9FA5}\x{3040}-\x{309F}\x{30A0}-\x{30FF}]+)";
constexpr const char* kDeepSeek3 =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|)"
    R"( ?[\p{P}\p{S}]+[\r\n]*|)" NEWLINES "|" TRAILING_WHITE;

struct Family {
  const char* name;
  std::array<const char*, 4> expressions;  // applied in order; null: no more
  bool whole_pieces_first = false;
};

// Names are tokenizer.ggml.pre's. `default` is what llama.cpp takes for files that name none.
constexpr Family kFamilies[] = {
    {"gpt-2", {kGpt2}},
    {"smollm", {kDigit, kGpt2}},
    {"starcoder", {kDigit, kGpt2}},
    {"llama-bpe", {kLlama3}, true},
    {"llama3", {kLlama3}, true},
    {"llama-v3", {kLlama3}, true},
    {"qwen2", {kQwen2}},
    {"deepseek-r1-qwen", {kQwen2}},
    {"deepseek-v3", {kThreeDigits, kDeepSeek3Han, kDeepSeek3}},
    {"default", {kPunctuationRun, kGpt2, kDigits, kThreeAsciiDigits}},
};

struct FreeCode {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};
struct FreeMatch {
  void operator()(pcre2_match_data* match) const { pcre2_match_data_free(match); }
};
using Code = std::unique_ptr<pcre2_code, FreeCode>;
using Match = std::unique_ptr<pcre2_match_data, FreeMatch>;

Code Compile(const char* expression) {
  int error = 0;
  PCRE2_SIZE offset = 0;
  Code code(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(expression), PCRE2_ZERO_TERMINATED,
                          PCRE2_UTF | PCRE2_UCP, &error, &offset, nullptr));
  CHECK(code != nullptr);  // The table is ours.
  // Without a just-in-time compiler (some machines forbid it) matching is slower, not different.
  pcre2_jit_compile(code.get(), PCRE2_JIT_COMPLETE);
  return code;
}

// Appends the matches in `text` and what lies between them. `text` is valid UTF-8.
void SplitByExpression(const pcre2_code* code, pcre2_match_data* match, std::string_view text,
                       std::vector<std::string_view>& pieces) {
  const auto subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  size_t done = 0;
  while (done < text.size()) {
    const int count =
        pcre2_match(code, subject, text.size(), done, PCRE2_NO_UTF_CHECK, match, nullptr);
    // No match, or one of PCRE2's own limits: the rest is one piece. The table's expressions don't
    // nest repetitions, so the limits are out of reach.
    if (count < 0) break;
    const PCRE2_SIZE* ends = pcre2_get_ovector_pointer(match);
    CHECK(ends[1] > ends[0]);  // No expression of the table matches nothing.
    if (ends[0] > done) pieces.push_back(text.substr(done, ends[0] - done));
    pieces.push_back(text.substr(ends[0], ends[1] - ends[0]));
    done = ends[1];
  }
  if (done < text.size()) pieces.push_back(text.substr(done));
}

// Appends the longest runs of valid and of invalid bytes, in turn.
template <typename OnRun>
void ForEachRun(std::string_view text, OnRun on_run) {
  size_t begin = 0;
  bool begin_valid = true;
  for (size_t at = 0; at < text.size();) {
    const Utf8Character character = FirstUtf8Character(text.substr(at));
    const bool valid = character.kind == Utf8Character::Kind::kWhole;
    if (valid != begin_valid) {
      if (at > begin) on_run(text.substr(begin, at - begin), begin_valid);
      begin = at;
      begin_valid = valid;
    }
    at += character.size;
  }
  if (text.size() > begin) on_run(text.substr(begin), begin_valid);
}

}  // namespace

class PreTokenizer::Impl {
 public:
  explicit Impl(const Family& family) : whole_pieces_first_(family.whole_pieces_first) {
    for (const char* expression : family.expressions) {
      if (expression != nullptr) codes_.push_back(Compile(expression));
    }
  }

  void Split(std::string_view text, std::vector<std::string_view>& pieces) const {
    const Match match(pcre2_match_data_create(1, nullptr));
    CHECK(match != nullptr);
    ForEachRun(text, [&](std::string_view run, bool valid) {
      if (!valid) {
        pieces.push_back(run);
        return;
      }
      std::vector<std::string_view> parts = {run};
      for (const Code& code : codes_) {
        std::vector<std::string_view> finer;
        for (const std::string_view part : parts) {
          SplitByExpression(code.get(), match.get(), part, finer);
        }
        parts = std::move(finer);
      }
      pieces.insert(pieces.end(), parts.begin(), parts.end());
    });
  }

  bool whole_pieces_first() const { return whole_pieces_first_; }

 private:
  std::vector<Code> codes_;
  const bool whole_pieces_first_;
};

absl::StatusOr<std::unique_ptr<PreTokenizer>> PreTokenizer::Create(std::string_view name) {
  std::string known;
  for (const Family& family : kFamilies) {
    if (name == family.name) {
      return std::unique_ptr<PreTokenizer>(new PreTokenizer(std::make_unique<Impl>(family)));
    }
    absl::StrAppend(&known, known.empty() ? "" : ", ", family.name);
  }
  return absl::UnimplementedError(
      absl::StrCat("pre-tokenizer \"", std::string(name), "\" is not known; known are ", known));
}

PreTokenizer::PreTokenizer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
PreTokenizer::~PreTokenizer() = default;

void PreTokenizer::Split(std::string_view text, std::vector<std::string_view>& pieces) const {
  impl_->Split(text, pieces);
}

bool PreTokenizer::whole_pieces_first() const { return impl_->whole_pieces_first(); }

}  // namespace spillway
