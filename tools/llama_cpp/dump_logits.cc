// Records what llama.cpp makes of a list of prompts: the oracle of our decoder and tokenizer.
//
//   dump_logits --model M.gguf --prompts prompts.json --out fixture.json [--commit C]
//     tokenizes each prompt (control tokens recognised), continues it greedily, and writes prompt
//     ids, continuation ids and, for each of their positions, the top logits and those of fixed
//     ids. An end of text does not end a continuation: each has the same length.
//   dump_logits --model M.gguf --replay fixture.json [--raw R.bin] [--baseline R.bin]
//     runs the fixture's own tokens again. --raw keeps all logits (f32, positions x vocabulary);
//     --baseline says how far from such a file this run is: llama.cpp's own noise. --out writes a
//     fixture of these logits, with the names of the prompts only.
//   dump_logits --model M.gguf --dequantise F32.gguf
//     writes the model with every weight as f32, which changes none of them: a run of it has no
//     quantised activations and is as good as exact.
//
// Options of both: --threads N (2), --flash-attn auto|on|off (auto), --kv f16|f32 (f16),
// --ubatch N (2048: each prompt is one batch).
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "llama.h"
#include "nlohmann/json.hpp"

namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr int kContinuationTokens = 64;
constexpr int kTopLogits = 8;
constexpr int kContextTokens = 2048;

[[noreturn]] void Fail(const std::string& message) {
  std::fprintf(stderr, "dump_logits: %s\n", message.c_str());
  std::exit(1);
}

std::map<std::string, std::string> ParseFlags(int argc, char** argv) {
  std::map<std::string, std::string> flags;
  for (int i = 1; i < argc; i += 2) {
    const std::string name = argv[i];
    if (!name.starts_with("--") || i + 1 >= argc) Fail("expected --name value, saw " + name);
    flags[name.substr(2)] = argv[i + 1];
  }
  return flags;
}

std::string FlagOr(const std::map<std::string, std::string>& flags, const std::string& name,
                   const std::string& otherwise) {
  const auto found = flags.find(name);
  return found == flags.end() ? otherwise : found->second;
}

json ReadJson(const std::string& path) {
  std::ifstream file(path);
  if (!file) Fail("can't read " + path);
  return json::parse(file);
}

// Five decimals: a hundredth of the noise between llama.cpp's own code paths.
double Rounded(float logit) { return std::round(static_cast<double>(logit) * 1e5) / 1e5; }

// A model with one context of one sequence.
class Model {
 public:
  explicit Model(const std::map<std::string, std::string>& flags) {
    llama_model_params model_params = llama_model_default_params();
    model_params.n_gpu_layers = 0;
    const std::string path = FlagOr(flags, "model", "");
    model_.reset(llama_model_load_from_file(path.c_str(), model_params));
    if (model_ == nullptr) Fail("can't load the model " + path);

    llama_context_params params = llama_context_default_params();
    params.n_ctx = kContextTokens;
    params.n_batch = kContextTokens;
    params.n_ubatch = static_cast<uint32_t>(std::stoi(FlagOr(flags, "ubatch", "2048")));
    params.n_threads = std::stoi(FlagOr(flags, "threads", "2"));
    params.n_threads_batch = params.n_threads;
    const std::string kv = FlagOr(flags, "kv", "f16");
    params.type_k = params.type_v = kv == "f32" ? GGML_TYPE_F32 : GGML_TYPE_F16;
    const std::string flash = FlagOr(flags, "flash-attn", "auto");
    params.flash_attn_type = flash == "on"    ? LLAMA_FLASH_ATTN_TYPE_ENABLED
                             : flash == "off" ? LLAMA_FLASH_ATTN_TYPE_DISABLED
                                              : LLAMA_FLASH_ATTN_TYPE_AUTO;
    context_.reset(llama_init_from_model(model_.get(), params));
    if (context_ == nullptr) Fail("can't make a context");
  }

  int vocabulary_size() const { return llama_vocab_n_tokens(llama_model_get_vocab(model_.get())); }

  std::vector<llama_token> Tokenize(const std::string& text) const {
    std::vector<llama_token> tokens(text.size() + 8);
    const int count = llama_tokenize(llama_model_get_vocab(model_.get()), text.data(),
                                     static_cast<int32_t>(text.size()), tokens.data(),
                                     static_cast<int32_t>(tokens.size()),
                                     /*add_special=*/false, /*parse_special=*/true);
    if (count <= 0) Fail("can't tokenize: " + text);
    tokens.resize(static_cast<size_t>(count));
    return tokens;
  }

  void Reset() { llama_memory_clear(llama_get_memory(context_.get()), /*data=*/true); }

  // Runs the tokens after those before; the logits after the last of them hold until the next call.
  const float* Run(std::vector<llama_token> tokens) {
    const llama_batch batch =
        llama_batch_get_one(tokens.data(), static_cast<int32_t>(tokens.size()));
    if (llama_decode(context_.get(), batch) != 0) Fail("llama_decode failed");
    return llama_get_logits_ith(context_.get(), -1);
  }

 private:
  struct Free {
    void operator()(llama_model* model) const { llama_model_free(model); }
    void operator()(llama_context* context) const { llama_free(context); }
  };
  std::unique_ptr<llama_model, Free> model_;
  std::unique_ptr<llama_context, Free> context_;
};

// The ids of the highest logits, best first, the lower id first among equals.
std::vector<int> TopIds(const float* logits, int vocabulary_size, int count) {
  std::vector<int> ids(static_cast<size_t>(vocabulary_size));
  std::iota(ids.begin(), ids.end(), 0);
  std::partial_sort(ids.begin(), ids.begin() + count, ids.end(), [&](int a, int b) {
    return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
  });
  ids.resize(static_cast<size_t>(count));
  return ids;
}

// 16 ids over the whole vocabulary, control tokens and rare ones among them.
std::vector<int> FixedIds(int vocabulary_size) {
  std::vector<int> ids = {0, 1, 2, 28, 198, 260, 338, 1000};
  for (int i = 1; i < 8; ++i) ids.push_back(vocabulary_size / 8 * i + i);
  ids.push_back(vocabulary_size - 1);
  return ids;
}

// The logits of one prompt's continuation, as the fixture holds them.
class LogitRows {
 public:
  LogitRows(int vocabulary_size, const std::vector<int>& fixed_ids)
      : vocabulary_size_(vocabulary_size), fixed_ids_(fixed_ids) {}

  // Returns the likeliest id.
  int Add(const float* logits) {
    ordered_json top = ordered_json::array();
    for (const int id : TopIds(logits, vocabulary_size_, kTopLogits)) {
      top.push_back(ordered_json::array({id, Rounded(logits[id])}));
    }
    ordered_json fixed = ordered_json::array();
    for (const int id : fixed_ids_) fixed.push_back(Rounded(logits[id]));
    const int best = top[0][0];
    top_.push_back(std::move(top));
    fixed_.push_back(std::move(fixed));
    return best;
  }

  void MoveTo(ordered_json& prompt) {
    prompt["top"] = std::move(top_);
    prompt["fixed"] = std::move(fixed_);
  }

 private:
  const int vocabulary_size_;
  const std::vector<int>& fixed_ids_;
  ordered_json top_ = ordered_json::array();
  ordered_json fixed_ = ordered_json::array();
};

ordered_json DumpPrompt(Model& model, const json& prompt, const std::vector<int>& fixed_ids) {
  const std::string text = prompt.at("text");
  const std::vector<llama_token> prompt_ids = model.Tokenize(text);
  std::vector<llama_token> continuation;
  LogitRows rows(model.vocabulary_size(), fixed_ids);
  model.Reset();
  const float* logits = model.Run(prompt_ids);
  for (int i = 0; i < kContinuationTokens; ++i) {
    continuation.push_back(rows.Add(logits));
    if (i + 1 < kContinuationTokens) logits = model.Run({continuation.back()});
  }
  std::fprintf(stderr, "%s: %zu tokens\n", prompt.at("name").get<std::string>().c_str(),
               prompt_ids.size());
  ordered_json result = {{"name", prompt.at("name")},
                         {"text", text},
                         {"prompt_ids", prompt_ids},
                         {"continuation_ids", continuation}};
  rows.MoveTo(result);
  return result;
}

// One prompt, or one position of it, a line: diffs stay readable and the file small.
void WriteFixture(const std::map<std::string, std::string>& flags, const ordered_json& head,
                  const std::vector<ordered_json>& prompts) {
  const std::string path = FlagOr(flags, "out", "fixture.json");
  std::ofstream out(path);
  out << "{\n";
  for (const auto& [key, value] : head.items()) {
    out << json(key).dump() << ": " << value.dump() << ",\n";
  }
  out << "\"prompts\": [\n";
  for (size_t i = 0; i < prompts.size(); ++i) {
    out << "{\n";
    size_t left = prompts[i].size();
    for (const auto& [key, value] : prompts[i].items()) {
      out << json(key).dump() << ": ";
      if (key == "top" || key == "fixed") {
        out << "[\n";
        for (size_t row = 0; row < value.size(); ++row) {
          out << value[row].dump() << (row + 1 < value.size() ? ",\n" : "\n");
        }
        out << "]";
      } else {
        out << value.dump();
      }
      out << (--left > 0 ? ",\n" : "\n");
    }
    out << (i + 1 < prompts.size() ? "},\n" : "}\n");
  }
  out << "]\n}\n";
  if (!out) Fail("can't write " + path);
}

ordered_json Head(const Model& model, const std::map<std::string, std::string>& flags,
                  const std::vector<int>& fixed_ids) {
  const std::string path = flags.at("model");
  return {{"model", path.substr(path.find_last_of('/') + 1)},
          {"llama_cpp_commit", FlagOr(flags, "commit", "unknown")},
          {"system", llama_print_system_info()},
          {"threads", std::stoi(FlagOr(flags, "threads", "2"))},
          {"kv_type", FlagOr(flags, "kv", "f16")},
          {"flash_attn", FlagOr(flags, "flash-attn", "auto")},
          {"vocabulary_size", model.vocabulary_size()},
          {"fixed_ids", fixed_ids}};
}

void Dump(Model& model, const std::map<std::string, std::string>& flags) {
  const std::vector<int> fixed_ids = FixedIds(model.vocabulary_size());
  std::vector<ordered_json> prompts;
  for (const json& prompt : ReadJson(flags.at("prompts"))) {
    prompts.push_back(DumpPrompt(model, prompt, fixed_ids));
  }
  WriteFixture(flags, Head(model, flags, fixed_ids), prompts);
}

// How two runs' logits at one position differ, over all positions.
class Noise {
 public:
  void Add(const float* logits, const std::vector<float>& baseline) {
    double position_max = 0;
    for (size_t i = 0; i < baseline.size(); ++i) {
      const double difference = std::abs(static_cast<double>(logits[i]) - baseline[i]);
      position_max = std::max(position_max, difference);
      square_sum_ += difference * difference;
    }
    count_ += static_cast<double>(baseline.size());
    maxima_.push_back(position_max);
    const auto best = [](const float* from, size_t size) {
      return std::max_element(from, from + size) - from;
    };
    argmax_changes_ += best(logits, baseline.size()) != best(baseline.data(), baseline.size());
  }

  void Print() {
    std::sort(maxima_.begin(), maxima_.end());
    const auto at = [&](double share) {
      return maxima_[static_cast<size_t>(share * static_cast<double>(maxima_.size() - 1))];
    };
    std::printf(
        "positions %zu  rms %.5f  largest difference at a position: median %.5f p99 %.5f "
        "max %.5f  argmax changes %d\n",
        maxima_.size(), std::sqrt(square_sum_ / count_), at(0.5), at(0.99), at(1.0),
        argmax_changes_);
  }

 private:
  std::vector<double> maxima_;
  double square_sum_ = 0;
  double count_ = 0;
  int argmax_changes_ = 0;
};

void Replay(Model& model, const std::map<std::string, std::string>& flags) {
  const std::string raw = FlagOr(flags, "raw", "");
  const std::string baseline = FlagOr(flags, "baseline", "");
  std::ofstream raw_out;
  std::ifstream baseline_in;
  if (!raw.empty()) raw_out.open(raw, std::ios::binary);
  if (!baseline.empty()) baseline_in.open(baseline, std::ios::binary);
  std::vector<float> expected(static_cast<size_t>(model.vocabulary_size()));
  const auto bytes = static_cast<std::streamsize>(expected.size() * sizeof(float));
  Noise noise;
  const json fixture = ReadJson(flags.at("replay"));
  const std::vector<int> fixed_ids = fixture.at("fixed_ids");
  std::vector<ordered_json> prompts;
  for (const json& prompt : fixture.at("prompts")) {
    const std::vector<llama_token> continuation = prompt.at("continuation_ids");
    LogitRows rows(model.vocabulary_size(), fixed_ids);
    model.Reset();
    const float* logits = model.Run(prompt.at("prompt_ids").get<std::vector<llama_token>>());
    for (size_t i = 0; i < continuation.size(); ++i) {
      if (i > 0) logits = model.Run({continuation[i - 1]});
      rows.Add(logits);
      if (!raw.empty()) raw_out.write(reinterpret_cast<const char*>(logits), bytes);
      if (baseline.empty()) continue;
      if (!baseline_in.read(reinterpret_cast<char*>(expected.data()), bytes)) {
        Fail(baseline + " is too short");
      }
      noise.Add(logits, expected);
    }
    rows.MoveTo(prompts.emplace_back(ordered_json{{"name", prompt.at("name")}}));
  }
  if (flags.contains("out")) WriteFixture(flags, Head(model, flags, fixed_ids), prompts);
  if (!raw.empty() && !raw_out) Fail("can't write " + raw);
  if (!baseline.empty()) noise.Print();
}

void Dequantise(const std::map<std::string, std::string>& flags) {
  llama_model_quantize_params params = llama_model_quantize_default_params();
  params.ftype = LLAMA_FTYPE_ALL_F32;
  params.allow_requantize = true;
  if (llama_model_quantize(flags.at("model").c_str(), flags.at("dequantise").c_str(), &params) !=
      0) {
    Fail("llama_model_quantize failed");
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::map<std::string, std::string> flags = ParseFlags(argc, argv);
  llama_log_set(
      [](ggml_log_level level, const char* text, void*) {
        if (level == GGML_LOG_LEVEL_ERROR) std::fputs(text, stderr);
      },
      nullptr);
  llama_backend_init();
  if (flags.contains("dequantise")) {
    Dequantise(flags);
  } else {
    Model model(flags);
    if (flags.contains("replay")) {
      Replay(model, flags);
    } else if (flags.contains("prompts")) {
      Dump(model, flags);
    } else {
      Fail(
          "--prompts, --replay or --dequantise is needed; the first lines of dump_logits.cc say "
          "more");
    }
  }
  llama_backend_free();
}
