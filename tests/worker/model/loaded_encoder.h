#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "common/check.h"
#include "worker/device/cpu_isa.h"
#include "worker/device/thread_team.h"
#include "worker/kernels/cpu_kernels.h"
#include "worker/model/encoder.h"
#include "worker/model/encoder_spec.h"
#include "worker/model/encoder_weights.h"
#include "worker/model/model_files.h"

namespace spillway {

// An encoder out of its files, ready to run.
class LoadedEncoder {
 public:
  LoadedEncoder(const std::string& path, int32_t threads, CpuIsa isa, int32_t texts_max = 8)
      : team_(threads) {
    const auto files = OpenModelFiles(path);
    CHECK(files.ok() && files->encoder != nullptr);
    spec_ = files->encoder->spec();
    auto weights = EncoderWeights::Load(spec_, files->encoder->tensors(), team_);
    CHECK(weights.ok());
    weights_ = *std::move(weights);
    auto encoder = Encoder::Make(spec_, weights_, texts_max * spec_.text_tokens_max, team_,
                                 CpuKernelsFor(isa));
    CHECK(encoder.ok());
    encoder_ = *std::move(encoder);
  }

  const EncoderSpec& spec() const { return spec_; }

  // A vector per text.
  std::vector<std::vector<float>> Encode(const std::vector<std::vector<TokenId>>& texts) {
    const std::vector<std::span<const TokenId>> spans(texts.begin(), texts.end());
    const auto size = static_cast<size_t>(spec_.hidden_size);
    std::vector<float> all(texts.size() * size);
    encoder_->Forward(spans, all.data());
    std::vector<std::vector<float>> vectors;
    for (size_t i = 0; i < texts.size(); ++i) {
      vectors.emplace_back(all.begin() + static_cast<std::ptrdiff_t>(i * size),
                           all.begin() + static_cast<std::ptrdiff_t>((i + 1) * size));
    }
    return vectors;
  }

 private:
  ThreadTeam team_;
  EncoderSpec spec_;
  EncoderWeights weights_;
  std::unique_ptr<Encoder> encoder_;
};

}  // namespace spillway
