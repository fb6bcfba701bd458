#pragma once

#include <cstdint>
#include <vector>

namespace spillway {

// How a layer's queries and keys turn with their position p: pair i by the angle
// p * frequencies[i]; its cosine and sine are multiplied by `magnitude`.
struct Rope {
  std::vector<double> frequencies;  // [rope_size / 2], radians a position
  double magnitude = 1;
};

// What stretches a model's context beyond the one it was trained with.
struct RopeScaling {
  enum class Kind { kNone, kLinear, kLlama3, kYarn };
  Kind kind = Kind::kNone;
  double factor = 1;                   // by how much the context grows
  double original_context_tokens = 0;  // kLlama3, kYarn
  double low_frequency_factor = 1;     // kLlama3
  double high_frequency_factor = 4;    // kLlama3
  double beta_fast = 32;               // kYarn
  double beta_slow = 1;                // kYarn
  double mscale = 0;                   // kYarn; 0: not given
  double mscale_all_dim = 0;           // kYarn; 0: not given
  double attention_factor = 0;         // kYarn: Rope::magnitude; 0: from factor and the mscales
  bool truncate = true;                // kYarn: the ramp's ends are whole dimensions
};

// `base` is rope_theta; `size` the rotated elements of a head, even. Requires sound numbers: base
// and factor positive and finite, the original context positive where the kind needs it.
//
// Sources: RoFormer (arXiv 2104.09864); linear: arXiv 2306.15595; llama3 and yarn (arXiv
// 2309.00071) as in Hugging Face transformers' modeling_rope_utils.py.
Rope MakeRope(double base, int32_t size, const RopeScaling& scaling = {});

}  // namespace spillway
