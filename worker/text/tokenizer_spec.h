#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "scheduler/types.h"

namespace spillway {

// What a tokenizer's file may hold. Beyond them it is refused: it is untrusted input.
struct TokenizerLimits {
  static constexpr size_t kVocabularyMax = 1 << 20;  // tokens
  static constexpr size_t kTokenBytesMax = 8192;     // of a token's text; Claude's: 2,048
  static constexpr size_t kSearchedBytesMax = 1024;  // of a token that is looked for at each place
  static constexpr size_t kMergesMax = 1 << 22;      // Gemma has 580,604
  static constexpr size_t kStepsMax = 64;            // normalizers, pre-tokenizers, decoders: each
  static constexpr size_t kStepTextMax = 4096;       // bytes of a text in a step
  static constexpr size_t kPatternBytesMax = 16384;  // of a regular expression; real ones: 1,600
  static constexpr size_t kCharsmapBytesMax = 8
                                              << 20;  // of a precompiled charsmap; XLM-R's: 311,000
  static constexpr size_t kGrowthMax = 1024;        // of a text by all its normalizers, or decoders
  static constexpr size_t kTemplateTokensMax = 64;  // added before and after a text: each
};

// A pattern that is looked for in a text: a literal, or an expression in Oniguruma's syntax
// (worker/text/split_pattern.h says which part of it).
struct TextPattern {
  std::string text{};
  bool is_regex = false;
};

// One change to a text before it is cut. Names as in Hugging Face's tokenizers.
struct NormalizerStep {
  enum class Kind : uint8_t {
    kNfc,
    kNfd,
    kNfkc,
    kNfkd,
    kNmt,  // drops control characters, makes many kinds of space one
    kLowercase,
    kStripAccents,  // drops combining marks
    kStrip,         // white space at the ends
    kPrepend,
    kReplace,
    kBert,
    kPrecompiled,    // SentencePiece's charsmap, as tokenizers applies it: to each grapheme
    kSentencePiece,  // the charsmap and the spaces, as SentencePiece itself does it
    kByteLevel,      // each byte becomes its character in the byte-level alphabet
  };
  Kind kind = Kind::kNfc;
  bool left = false;  // kStrip
  bool right = false;
  std::string text{};      // kPrepend: what; kReplace: the replacement; kPrecompiled and
                           // kSentencePiece: the charsmap, may be empty for the latter
  TextPattern pattern{};   // kReplace
  bool clean_text = true;  // kBert: drops control characters, makes all white space spaces
  bool handle_chinese_chars = true;
  bool strip_accents = true;
  bool lowercase = true;
  bool add_space_prefix = true;  // kSentencePiece
  bool remove_extra_spaces = true;
  bool space_is_suffix = false;  // what is added goes to the end
};

// One rule by which a text is cut into the pieces that tokens never cross.
struct PreTokenizerStep {
  enum class Kind : uint8_t {
    kSplit,
    kByteLevel,  // cuts as GPT-2 does, if `use_regex`; the pieces' bytes are tokens then
    kMetaspace,
    kDigits,
    kPunctuation,
    kWhitespace,       // \w+|[^\w\s]+
    kWhitespaceSplit,  // at white space
    kBert,
    kDelimiter,
    kFixedLength,
  };
  // What becomes of that which a pattern matches.
  enum class Behavior : uint8_t {
    kRemoved,
    kIsolated,
    kMergedWithPrevious,
    kMergedWithNext,
    kContiguous,  // matches side by side are one piece
  };
  enum class Prepend : uint8_t { kFirst, kNever, kAlways };
  Kind kind = Kind::kSplit;
  TextPattern pattern{};                    // kSplit; kDelimiter: one character
  Behavior behavior = Behavior::kIsolated;  // kSplit, kPunctuation
  bool invert = false;                      // kSplit: what lies between matches is the match
  bool add_prefix_space = false;            // kByteLevel
  bool use_regex = true;
  std::string replacement{};  // kMetaspace: what stands for a space
  Prepend prepend = Prepend::kAlways;
  bool split = true;
  bool individual_digits = false;  // kDigits
  size_t length = 5;               // kFixedLength, in characters
};

// One step from tokens' texts to text.
struct DecoderStep {
  enum class Kind : uint8_t {
    kByteLevel,
    kByteFallback,  // <0x41> is a byte
    kFuse,          // all texts become one
    kStrip,
    kReplace,
    kMetaspace,
    kWordPiece,
    kBpe,
    kCtc,
    kSpaces,  // one between all texts: what tokenizers does without a decoder
  };
  Kind kind = Kind::kFuse;
  std::string text{};     // kStrip, kMetaspace: a character; kReplace: the replacement; kWordPiece:
                          // the prefix of what continues a word; kBpe: the suffix of a word's end;
                          // kCtc: the pad token
  TextPattern pattern{};  // kReplace
  size_t start = 0;       // kStrip: how many at most
  size_t stop = 0;
  bool strip_first = true;  // kMetaspace: the first token's space was added
  bool cleanup = false;     // kWordPiece, kCtc: no spaces before punctuation
  std::string delimiter{};  // kCtc: stands for a space
};

// How a token that is no part of the model's vocabulary proper is found in a text.
struct AddedToken {
  TokenId id = -1;
  bool single_word = false;  // not inside a word
  bool lstrip = false;       // takes the white space before it
  bool rstrip = false;       // and after it
  bool normalized = false;   // is looked for, itself normalized, in the normalized text
};

// `left right` become `merged`.
struct MergeRule {
  TokenId left = -1;
  TokenId right = -1;
  TokenId merged = -1;
  bool operator==(const MergeRule&) const = default;
};

// A tokenizer as its file gives it, whatever the file's format (worker/model/gguf_tokenizer.h,
// worker/text/tokenizer_json.h).
struct TokenizerSpec {
  enum class Kind : uint8_t {
    kByteLevelBpe,      // tokens are written in the byte-level alphabet; merges
    kBpe,               // tokens are text; merges
    kSentencePieceBpe,  // tokens are text; what two make together is merged by its score
    kUnigram,           // tokens are text with scores; the best sum wins (Kudo, 2018)
    kWordPiece,         // the longest token first
  };
  enum class TokenType : uint8_t { kNormal, kUnknown, kControl, kUserDefined, kUnused, kByte };

  Kind kind = Kind::kByteLevelBpe;
  // A family's name ("smollm", "gpt-2", "qwen2", …; worker/text/tokenizer_family.h), which then
  // gives normalizers, pre-tokenizers and ignore_merges. Empty: they are given here.
  std::string pre_tokenizer{};
  std::vector<NormalizerStep> normalizers{};
  std::vector<PreTokenizerStep> pre_tokenizers{};
  std::vector<DecoderStep> decoders{};  // none: what is usual for the kind

  std::vector<std::string> tokens{};  // as in the file: byte-level BPE maps bytes to printables
  std::vector<TokenType> types{};     // one per token
  // Of tokens of type control, unknown and user-defined, which are all found in texts; those that
  // are not listed have no flag set.
  std::vector<AddedToken> added{};
  std::vector<double> scores{};     // kSentencePieceBpe, kUnigram: one per token
  std::vector<MergeRule> merges{};  // best first

  TokenId unknown = -1;
  bool fuse_unknown = false;         // kBpe: unknown characters side by side are one token
  bool byte_fallback = false;        // kBpe, kUnigram: an unknown character is its bytes' <0x41>
  bool ignore_merges = false;        // BPE: a piece that is a token is taken as it is
  std::string continuing_prefix{};   // kBpe, kWordPiece: of what doesn't begin a word
  std::string word_suffix{};         // kBpe: of a word's last token
  size_t word_characters_max = 100;  // kWordPiece: a longer word is unknown

  TokenId bos = -1;  // -1: none
  TokenId eos = -1;
  std::vector<TokenId> end_of_text{};  // all tokens that end generation, eos among them
  bool add_bos = false;                // a plain prompt begins with bos
  std::vector<TokenId> prefix{};       // what is added before a text that is encoded by itself
  std::vector<TokenId> suffix{};       // and after it
};

}  // namespace spillway
