#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "router/providers/provider_error.h"

namespace spillway {

struct CircuitLimits {
  int32_t failures_in_a_row = 5;                  // so many open a circuit
  absl::Duration open_min = absl::Seconds(1);     // the first time; then twice as long each time
  absl::Duration open_max = absl::Minutes(1);     // where it was throttled, or failed
  absl::Duration blocked_min = absl::Minutes(1);  // where money, a key or a model is missing
  absl::Duration blocked_max = absl::Hours(1);
  absl::Duration retry_after_max = absl::Minutes(10);  // of what a provider may ask for
  absl::Duration probe_max = absl::Minutes(10);        // without news a probe is given up
  size_t circuits_max = 1024;                          // kept; names of models may be a stranger's
};

// Who is asked for what, and by which of the operator's keys (its name, never the key).
struct CircuitKey {
  std::string provider;
  std::string key_name;
  std::string model;

  friend auto operator<=>(const CircuitKey&, const CircuitKey&) = default;
};

// Whether a request may go to a provider. Goes back with what became of it.
struct CircuitPermit {
  bool allowed = false;
  absl::Time retry_at = absl::InfinitePast();  // not allowed: when to ask again
  std::string_view reason;                     // not allowed: of the error that opened the circuit
  uint64_t model_generation = 0;
  uint64_t key_generation = 0;
  bool probes_model = false;
  bool probes_key = false;
};

// A circuit that is not closed, for metrics and for people.
struct OpenCircuit {
  CircuitKey of;  // without a model: the key's
  std::string_view reason;
  bool alert = false;      // somebody has to do something
  bool half_open = false;  // its time is over, no probe has come through yet
  absl::Time open_until;
};

// Circuit breakers: one of each (provider, key, model) and one of each (provider, key). A request
// passes both.
//
//            failures_in_a_row; kBackOff; kBlock…            open_until has come
//   closed ------------------------------------------> open ---------------------> half-open
//      ^                                                ^                            |    |
//      |                                                +--- the probe fails --------+    |
//      +----------------------- the probe's success --------------------------------------+
//
// Half-open lets one request through, the probe. Each opening without a success between lasts twice
// as long as the one before. What a request that began before the circuit opened comes back with
// changes nothing, so that a hundred refusals of one moment are one; only a block, which lasts
// longer, replaces an opening that is not one. Errors that prove nothing of the provider (kPassOn,
// kContentFilter) change nothing; the next request probes.
//
// Pure: time is an argument. Not thread-safe.
class ProviderCircuits {
 public:
  explicit ProviderCircuits(const CircuitLimits& limits) : limits_(limits) {}

  // Each permit that is allowed must come back, once, by one of the three below.
  CircuitPermit Ask(const CircuitKey& key, absl::Time now);

  void OnSuccess(const CircuitKey& key, const CircuitPermit& permit);
  // `retry_after`: what the provider asked for; zero: nothing. An unanswered request (no
  // connection, no end) is a kTryAgain.
  void OnError(const CircuitKey& key, const CircuitPermit& permit, const ErrorVerdict& verdict,
               absl::Duration retry_after, absl::Time now);
  // The request was given up by us, and nobody knows what would have become of it.
  void OnAbandoned(const CircuitKey& key, const CircuitPermit& permit);

  std::vector<OpenCircuit> Open(absl::Time now) const;
  size_t kept() const { return circuits_.size(); }

 private:
  struct Circuit {
    uint64_t generation = 0;  // another after each opening and closing
    int32_t failures = 0;     // in a row, while closed
    int32_t openings = 0;     // in a row; 0: closed
    bool blocked = false;     // by money, a key or a model
    bool alert = false;
    std::string_view reason;
    absl::Time open_until = absl::InfinitePast();
    std::optional<absl::Time> probed_at;
  };

  static bool MayPass(const Circuit& circuit, absl::Time now, absl::Duration probe_max);
  Circuit* Find(const CircuitKey& key);
  Circuit& FindOrMake(const CircuitKey& key);
  void MakeRoom();
  void Fail(const CircuitKey& key, uint64_t generation, const ErrorVerdict& verdict,
            absl::Duration retry_after, absl::Time now);
  void Succeed(const CircuitKey& key, uint64_t generation, bool probe);
  void EndProbe(const CircuitKey& key, uint64_t generation, bool probe);

  const CircuitLimits limits_;
  std::map<CircuitKey, Circuit> circuits_;
  uint64_t last_generation_ = 0;
};

}  // namespace spillway
