#include "worker/cpu_executor.h"

#include <pthread.h>

#include <algorithm>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/bounded_queue.h"
#include "common/check.h"
#include "common/status_macros.h"
#include "worker/device/thread_team.h"
#include "worker/kernels/cpu_kernels.h"
#include "worker/kernels/numerics.h"
#include "worker/model/decoder.h"
#include "worker/model/kv_cache.h"
#include "worker/model/weights.h"
#include "worker/sampling/sampler.h"

namespace spillway {
namespace {

// Executor's promise to callers, and so the depth of both queues: one step runs, one waits.
constexpr int32_t kTicketsInFlightMax = 2;

// A row of a launched step: StepRow with what Launch() had to copy.
struct RowCopy {
  int32_t slot = 0;
  int32_t begin = 0;
  int32_t first_token = 0;  // in LaunchedStep::tokens
  int32_t token_count = 0;
  int32_t first_block = 0;  // in LaunchedStep::blocks
  int32_t block_count = 0;
  bool last_token_pending = false;
  bool samples = false;
  const SamplingParams* sampling = nullptr;
  std::span<const TokenId> history;
  int32_t prompt_tokens = 0;
  std::span<const TokenId> banned;
};

// Belongs to the engine thread until it is launched, then to the executor thread until it is
// finished, then to the engine thread again. Reused, so that the steady state allocates nothing.
struct LaunchedStep {
  Ticket ticket{};
  std::vector<RowCopy> rows;
  std::vector<TokenId> tokens;  // a pending one is a hole, filled when the step runs
  std::vector<int32_t> blocks;
  std::vector<SampledToken> sampled;
};

// What the executor's own thread works with.
struct Machine {
  Machine(const ModelSpec& model_spec, int32_t thread_count) : spec(model_spec), team(thread_count) {}

  const ModelSpec spec;
  ThreadTeam team;
  ModelWeights weights;
  KvCache cache;
  std::unique_ptr<Decoder> decoder;
};

class CpuExecutor : public Executor {
 public:
  CpuExecutor(std::unique_ptr<Machine> machine, const ExecutorShape& shape, std::string device_name,
              std::string numerics_id);
  ~CpuExecutor() override;

  absl::StatusOr<Ticket> Launch(std::span<const StepRow> rows) override;
  absl::StatusOr<std::span<const SampledToken>> Collect(Ticket ticket) override;
  const ExecutorShape& shape() const override { return shape_; }
  std::string device_name() const override { return device_name_; }
  std::string numerics_id() const override { return numerics_id_; }

 private:
  void CheckRow(const StepRow& row) const;
  void CopyRow(const StepRow& row, LaunchedStep& step);

  // Executor thread only.
  void RunSteps();
  void RunStep(LaunchedStep& step);
  void Sample(LaunchedStep& step);
  SampledToken SampleRow(const RowCopy& row, std::span<float> logits, Sampler& sampler,
                         std::vector<TokenId>& history, TokenId pending) const;

  const ExecutorShape shape_;
  const std::string device_name_;
  const std::string numerics_id_;

  // Engine thread only.
  LaunchedStep steps_[kTicketsInFlightMax];
  int64_t launched_count_ = 0;
  int64_t collected_count_ = 0;
  std::vector<SampledToken> collected_;

  // Executor thread only.
  const std::unique_ptr<Machine> machine_;
  std::vector<DecoderSlice> slices_;
  std::vector<int32_t> sampling_rows_;           // of the step that runs
  std::vector<TokenId> last_tokens_;             // [slots]: the latest sampled
  std::vector<Sampler> samplers_;                // [threads]
  std::vector<std::vector<TokenId>> histories_;  // [threads]: with the pending token

  BoundedQueue<LaunchedStep*> launched_{kTicketsInFlightMax};
  BoundedQueue<LaunchedStep*> finished_{kTicketsInFlightMax};
  std::thread thread_;  // last: it uses all of the above
};
