#pragma once

#include "worker/device/cpu_isa.h"
#include "worker/kernels/activation.h"
#include "worker/kernels/attention.h"
#include "worker/kernels/gelu.h"
#include "worker/kernels/layer_norm.h"
#include "worker/kernels/matmul.h"
#include "worker/kernels/quantize.h"
#include "worker/kernels/rms_norm.h"
#include "worker/kernels/rope.h"
#include "worker/kernels/text_attention.h"

namespace spillway {

// Every operator as compiled for one instruction set; what each does stands at its type. All give
// the same bits (worker/kernels/numerics.h). The operators themselves are the *_cpu.inc files, once
// each; cpu_kernels_*.cc compile them.
struct CpuKernels {
  CpuIsa isa;
  RmsNormKernel rms_norm;
  QuantizeRowKernel quantize_row;
  MatMulKernel mat_mul;
  GatedMatMulKernel gated_mat_mul;
  RopeKernel rope;
  StoreKeyValueKernel store_key_value;
  AttendSplitKernel attend_split;
  MergeAttentionKernel merge_attention;
  FinishAttentionKernel finish_attention;
  SoftCapKernel soft_cap;
  LayerNormKernel layer_norm;
  GeluKernel gelu;
  AttendTextKernel attend_text;
  ExpKernel exp;
};

// Requires that `isa` is among SupportedCpuIsas().
const CpuKernels& CpuKernelsFor(CpuIsa isa);

}  // namespace spillway
