#include "worker/text/tokenizer_family.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"

namespace spillway {
namespace {

using Behavior = PreTokenizerStep::Behavior;
using Kind = PreTokenizerStep::Kind;

// A step: an expression whose matches are pieces, or one of the named ones.
struct Cut {
  std::string_view expression{};
  Kind kind = Kind::kSplit;
};

constexpr Cut kGpt2{"", Kind::kByteLevel};
constexpr Cut kEachDigit{"", Kind::kDigits};

// The expressions are those of the families' tokenizer.json files.
#define CONTRACTION R"((?i:'s|'t|'re|'ve|'m|'ll|'d))"
#define END_OF_LINES R"(\s*[\r\n]+|\s+(?!\S)|\s+)"
#define WORDS R"([^\r\n\p{L}\p{N}]?\p{L}+)"
#define SYMBOLS R"( ?[^\s\p{L}\p{N}]+[\r\n]*)"
#define UPPER R"([\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}])"
#define LOWER R"([\p{Ll}\p{Lm}\p{Lo}\p{M}])"
#define CASED_WORDS(tail) \
  R"([^\r\n\p{L}\p{N}]?)" UPPER "*" LOWER "+" tail R"(|[^\r\n\p{L}\p{N}]?)" UPPER "+" LOWER "*" tail
#define SLASHED_SYMBOLS R"( ?[^\s\p{L}\p{N}]+[\r\n/]*)"

constexpr std::string_view kGpt2Words =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr std::string_view kDigits = R"(\p{N}+)";
constexpr std::string_view kThreeDigits = R"(\p{N}{1,3})";
constexpr std::string_view kThreeAsciiDigits = "[0-9][0-9][0-9]";
constexpr std::string_view kPunctuationRun = R"([\p{P}\$\+<=>\^~\|]+)";
constexpr std::string_view kLines = R"([^\n]+|[\n]+)";
constexpr std::string_view kLlama3 =
    CONTRACTION "|" WORDS R"(|\p{N}{1,3}|)" SYMBOLS "|" END_OF_LINES;
constexpr std::string_view kQwen2 = CONTRACTION "|" WORDS R"(|\p{N}|)" SYMBOLS "|" END_OF_LINES;
constexpr std::string_view kQwen35 = CONTRACTION
    R"(|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|)" END_OF_LINES;
constexpr std::string_view kJais2 = CONTRACTION
    "|" WORDS R"(|\p{N}{1,3}|)" SYMBOLS
    R"(|\s*[\r\n]+|\s{512}(?!\S)|\s{256}(?!\S)|\s{128}(?!\S)|\s{64}(?!\S)|\s{32}(?!\S)|)"
    R"(\s{16}(?!\S)|\s{8}(?!\S)|\s{4}(?!\S)|\s{1,2}(?!\S)|\s{1})";
constexpr std::string_view kGpt4o =
    CASED_WORDS(CONTRACTION "?") R"(|\p{N}{1,3}|)" SLASHED_SYMBOLS "|" END_OF_LINES;
constexpr std::string_view kTekken = CASED_WORDS("") R"(|\p{N}|)" SLASHED_SYMBOLS "|" END_OF_LINES;
constexpr std::string_view kDeepSeekHan = "[一-龥ࠀ-一가-퟿]+";
constexpr std::string_view kDeepSeekLetters =
    R"(\s?[A-Za-z\x{B5}\x{C0}-\x{D6}\x{D8}-\x{F6}\x{F8}-\x{1BA}\x{1BC}-\x{1BF}\x{1C4}-)"
    R"(\x{293}\x{295}-\x{2AF}\x{370}-\x{373}\x{376}\x{377}\x{37B}-\x{37D}\x{37F}\x{386})"
    R"(\x{388}-\x{38A}\x{38C}\x{38E}-\x{3A1}\x{3A3}-\x{3F5}\x{3F7}-\x{481}\x{48A}-\x{52F})"
    R"(\x{531}-\x{556}\x{10A0}-\x{10C5}\x{13A0}-\x{13F5}\x{13F8}-\x{13FD}\x{1C90}-\x{1CBA})"
    R"(\x{1CBD}-\x{1CBF}\x{1D00}-\x{1D2B}\x{1D6B}-\x{1D77}\x{1D79}-\x{1D9A}\x{1E00}-)"
    R"(\x{1F15}\x{1F18}-\x{1F1D}\x{1F20}-\x{1F45}\x{1F48}-\x{1F4D}\x{1F50}-\x{1F57})"
    R"(\x{1F59}\x{1F5B}\x{1F5D}\x{1F5F}-\x{1F7D}\x{1F80}-\x{1FB4}\x{1FB6}-\x{1FBC}\x{1FBE})"
    R"(\x{1FC2}-\x{1FC4}\x{1FC6}-\x{1FCC}\x{1FD0}-\x{1FD3}\x{1FD6}-\x{1FDB}\x{1FE0}-)"
    R"(\x{1FEC}\x{1FF2}-\x{1FF4}\x{1FF6}-\x{1FFC}\x{2102}\x{2107}\x{210A}-\x{2113}\x{2115})"
    R"(\x{2119}-\x{211D}\x{2124}\x{2126}\x{2128}\x{212A}-\x{212D}\x{212F}-\x{2134}\x{2139})"
    R"(\x{213C}-\x{213F}\x{2145}-\x{2149}\x{214E}\x{2183}\x{2184}\x{2C00}-\x{2C7B})"
    R"(\x{2C7E}-\x{2CE4}\x{2CEB}-\x{2CEE}\x{2CF2}\x{2CF3}\x{A640}-\x{A66D}\x{A680}-)"
    R"(\x{A69B}\x{A722}-\x{A76F}\x{A771}-\x{A787}\x{A78B}-\x{A78E}\x{AB70}-\x{ABBF})"
    R"(\x{FB00}-\x{FB06}\x{FB13}-\x{FB17}\x{FF21}-\x{FF3A}\x{FF41}-\x{FF5A}\x{10400}-)"
    R"(\x{1044F}\x{104B0}-\x{104D3}\x{104D8}-\x{104FB}\x{10C80}-\x{10CB2}\x{10CC0}-)"
    R"(\x{10CF2}\x{118A0}-\x{118DF}\x{1E900}-\x{1E943}]+)";
constexpr std::string_view kDeepSeekPunctuation = R"(\s?[!-/:-~！-／：-～‘-‟　-。]+)";
constexpr std::string_view kDeepSeek3Han = "[一-龥぀-ゟ゠-ヿ]+";
constexpr std::string_view kDeepSeek3 =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|)"
    R"( ?[\p{P}\p{S}]+[\r\n]*|)" END_OF_LINES;
constexpr std::string_view kBloom = " ?[^(\\s|.,!?…。，、।۔،)]+";
constexpr std::string_view kKimiK2 =
    R"([\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*)"
    R"([\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+)" CONTRACTION
    R"(?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+)"
    R"([\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*)" CONTRACTION R"(?|\p{N}{1,3}|)" SYMBOLS
    "|" END_OF_LINES;
// The first group of a number is of one or two digits, the others of three.
constexpr std::string_view kDigitsFromTheRight = R"(\p{N}{1,2}(?=(?:\p{N}{3})*(?!\p{N}))|\p{N}{3})";
constexpr std::string_view kAfmoeScripts =
    R"([\x{4E00}-\x{9FFF}\x{3400}-\x{4DBF}\x{F900}-\x{FAFF}\x{3040}-\x{309F}\x{30A0}-\x{30FF})"
    R"(\x{FF65}-\x{FF9F}\x{2F00}-\x{2FDF}\x{E40}-\x{E7F}\x{E80}-\x{EFF}\x{1780}-\x{17FF})"
    R"(\x{1000}-\x{109F}\x{AA60}-\x{AA7F}\x{A9E0}-\x{A9FF}\x{AC00}-\x{D7AF}\x{1100}-\x{11FF}]+)";
constexpr std::string_view kBailing =
    R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|)"
    R"(\s*[\r\n]|\s+(?!\S)|\s+)";
constexpr std::string_view kExaoneMoe = CONTRACTION
    R"(|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|)"
    R"(\s*[\r\n]|\s+(?!\S)|\s+)";
constexpr std::string_view kSeedCoder =
    CONTRACTION "|" WORDS R"(|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|)" END_OF_LINES;
constexpr std::string_view kUfakzeka = WORDS R"(|\p{N}|)" SYMBOLS "|" END_OF_LINES;
constexpr std::string_view kMiniCpm5 = CONTRACTION "|" WORDS R"(|\p{N}+|)" SYMBOLS "|" END_OF_LINES;
constexpr std::string_view kYoutuScripts =
    R"([\x{AC00}-\x{D7A3}\x{3131}-\x{318E}]+|[\x{FF01}\x{2026}\x{201C}\x{201D}\x{2018}\x{2019})"
    R"(\x{2014}\x{FF1A}\x{FF1B}\x{FF0C}\x{3001}-\x{303F}\x{FE30}-\x{FE4F}]+|[\x{3105}-\x{312F}])"
    R"(+|[\x{4E00}-\x{9FA5}\x{3040}-\x{309F}\x{30A0}-\x{30FF}]+)";
constexpr std::string_view kYoutu =
    CASED_WORDS(CONTRACTION "?") R"(|\p{N}|)" SLASHED_SYMBOLS "|" END_OF_LINES;
constexpr std::string_view kSpark =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|)"
    R"( ?[\p{P}\p{S}]+|[\r\n]|\s+(?!\S)|\s+)";
constexpr std::string_view kChameleonImages = "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z";
constexpr std::string_view kChameleonPunctuation = R"([\p{P}!-/:-@\[-`{-~])";

struct Family {
  std::string_view names;  // separated by spaces
  std::array<Cut, 6> cuts;
  bool nfc = false;
  bool ignore_merges = false;
};

// Names as tokenizer.ggml.pre has them; which of them share a row, and which ignore merges, as in
// llama.cpp (llama-vocab.cpp), which has NFC nowhere. `default` is what it takes for files that
// name none.
constexpr Family kFamilies[] = {
    {"gpt-2 phi-2 jina-es jina-de jina-v1-en jina-v2-es jina-v2-de jina-v2-code roberta-bpe "
     "gigachat "
     "a.x-4.0 mellum jais trillion granite-docling exaone4",
     {kGpt2}},
    {"mpt olmo modern-bert", {kGpt2}, true},
    {"smollm starcoder refact codeshell exaone minerva-7b mellum2", {kEachDigit, kGpt2}},
    {"command-r", {kEachDigit, kGpt2}, true},
    {"llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano glm4 glm5",
     {{{kLlama3}}},
     false,
     true},
    {"dbrx smaug-bpe chatglm-bpe", {{{kLlama3}}}},
    {"minicpm5", {{{kThreeDigits}, {kMiniCpm5}}}, false, true},
    {"qwen2 deepseek-r1-qwen kormo f2llmv2 megrez stablelm2", {{{kQwen2}}}, true},
    {"hunyuan solar-open grok-2", {{{kQwen2}}}},
    {"qwen35", {{{kQwen35}}}, true},
    {"laguna", {{{kLines}, {kQwen2}}}},
    {"ufakzeka", {{{kUfakzeka}}}},
    {"jais-2", {{{kJais2}}}},
    {"deepseek-llm",
     {{{"[\r\n]"},
       {kDeepSeekLetters},
       {kDeepSeekPunctuation},
       {R"(\s+$)"},
       {kDeepSeekHan},
       kEachDigit}}},
    {"deepseek-coder",
     {{{"[\r\n]"}, {R"(\s?\p{L}+)"}, {R"(\s?\p{P}+)"}, {kDeepSeekHan}, kEachDigit}}},
    {"deepseek-v3 hunyuan-dense joyai-llm hy_v4",
     {{{kThreeDigits}, {kDeepSeek3Han}, {kDeepSeek3}}}},
    {"spark2_5", {{{kThreeDigits}, {kDeepSeek3Han}, {kSpark}, kEachDigit}}},
    {"youtu", {{{kYoutuScripts}, {kYoutu}}}, false, true},
    {"falcon", {{{"", Kind::kPunctuation}, kGpt2, {kDigits}, {kThreeAsciiDigits}}}},
    {"tekken", {{{kTekken}}}, false, true},
    {"gpt-4o llama4 kanana2 talkie minimax-m2", {{{kGpt4o}}}},
    {"granite-embed-multi-97m", {{{kGpt4o}}}, false, true},
    {"tiny_aya cohere2moe", {{{R"(\d{1,3}(?=(?:\d{3})*\b))"}, {kGpt4o}}}},
    {"kimi-k2", {{{kKimiK2}}}},
    {"superbpe", {{{kDigits}, {R"((?=(\d{3})+(?!\d)))"}}}},
    {"bailingmoe bailingmoe2 llada-moe", {{{kBailing}}}},
    {"seed-coder", {{{kSeedCoder}}}},
    {"afmoe", {{{kDigitsFromTheRight}, {kAfmoeScripts}, {kDeepSeek3}}}},
    {"exaone-moe", {{{kExaoneMoe}}}},
    {"poro-chat bloom gpt3-finnish", {{{kBloom}}}},
    {"viking", {{{kBloom}, kEachDigit}}},
    {"chameleon",
     {{{"<sentinel:[0-9]+>"},
       {kChameleonImages},
       {"([\\t\\n]|    |  )"},
       kEachDigit,
       {kChameleonPunctuation},
       kGpt2}}},
    {"default", {{{kPunctuationRun}, {kGpt2Words}, {kDigits}, {kThreeAsciiDigits}}}},
};

// Tokens are text with U+2581 for the space, and merges run over all of it.
constexpr std::string_view kPlainTextFamilies = "gemma4 granite-embed-multi-311m sarvam-moe";

bool IsOneOf(std::string_view name, std::string_view names) {
  while (!names.empty()) {
    const std::string_view next = names.substr(0, names.find(' '));
    if (name == next) return true;
    names.remove_prefix(std::min(names.size(), next.size() + 1));
  }
  return false;
}

void AddCuts(const Family& family, TokenizerSpec& spec) {
  bool maps_bytes = false;
  bool cuts_mapped = false;
  for (const Cut& cut : family.cuts) {
    if (cut.expression.empty() && cut.kind == Kind::kSplit) break;
    cuts_mapped |= maps_bytes;
    PreTokenizerStep step{.kind = cut.kind};
    step.pattern = {std::string(cut.expression), true};
    step.individual_digits = true;
    if (cut.kind == Kind::kPunctuation) step.behavior = Behavior::kContiguous;
    maps_bytes |= cut.kind == Kind::kByteLevel;
    spec.pre_tokenizers.push_back(std::move(step));
  }
  if (!cuts_mapped) return;
  spec.kind = TokenizerSpec::Kind::kBpe;
  if (spec.decoders.empty()) spec.decoders.push_back({.kind = DecoderStep::Kind::kByteLevel});
}

}  // namespace

absl::Status ApplyTokenizerFamily(TokenizerSpec& spec) {
  if (IsOneOf(spec.pre_tokenizer, kPlainTextFamilies)) {
    spec.kind = TokenizerSpec::Kind::kBpe;
    spec.byte_fallback = true;
    spec.normalizers.push_back(
        {.kind = NormalizerStep::Kind::kReplace, .text = "\u2581", .pattern = {.text = " "}});
    return absl::OkStatus();
  }
  std::string known;
  for (const Family& family : kFamilies) {
    if (IsOneOf(spec.pre_tokenizer, family.names)) {
      if (family.nfc) spec.normalizers.push_back({.kind = NormalizerStep::Kind::kNfc});
      if (family.ignore_merges) spec.ignore_merges = true;
      AddCuts(family, spec);
      return absl::OkStatus();
    }
    absl::StrAppend(&known, std::string(family.names), " ");
  }
  return absl::UnimplementedError(absl::StrCat("pre-tokenizer \"", spec.pre_tokenizer,
                                               "\" is not known; known are ", known,
                                               std::string(kPlainTextFamilies)));
}

}  // namespace spillway
