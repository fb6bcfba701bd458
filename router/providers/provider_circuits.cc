#include "router/providers/provider_circuits.h"

#include <algorithm>

namespace spillway {
namespace {

CircuitKey WithoutModel(const CircuitKey& key) { return {key.provider, key.key_name, ""}; }

bool IsBlock(ProviderAction action) {
  return action == ProviderAction::kBlockKey || action == ProviderAction::kBlockModel;
}

bool ProvesNothing(ProviderAction action) {
  return action == ProviderAction::kPassOn || action == ProviderAction::kContentFilter;
}

// min × 2^(openings − 1), at most max.
absl::Duration Doubled(absl::Duration min, absl::Duration max, int32_t openings) {
  absl::Duration length = min;
  for (int32_t i = 1; i < openings && length < max; ++i) length *= 2;
  return std::min(length, max);
}

}  // namespace

bool ProviderCircuits::MayPass(const Circuit& circuit, absl::Time now, absl::Duration probe_max) {
  if (circuit.openings == 0) return true;
  if (now < circuit.open_until) return false;
  return !circuit.probed_at.has_value() || now - *circuit.probed_at >= probe_max;
}

CircuitPermit ProviderCircuits::Ask(const CircuitKey& key, absl::Time now) {
  Circuit* const of_key = Find(WithoutModel(key));
  Circuit* const of_model = Find(key);
  CircuitPermit permit{.allowed = true};
  // All that can refuse is asked before a probe is taken anywhere.
  for (const Circuit* circuit : {of_key, of_model}) {
    if (circuit == nullptr || MayPass(*circuit, now, limits_.probe_max)) continue;
    const absl::Time retry_at =
        now < circuit->open_until ? circuit->open_until : *circuit->probed_at + limits_.probe_max;
    if (permit.allowed || retry_at > permit.retry_at) {
      permit.retry_at = retry_at;
      permit.reason = circuit->reason;
    }
    permit.allowed = false;
  }
  if (!permit.allowed) return permit;
  if (of_key != nullptr) {
    permit.key_generation = of_key->generation;
    permit.probes_key = of_key->openings > 0;
    if (permit.probes_key) of_key->probed_at = now;
  }
  if (of_model != nullptr) {
    permit.model_generation = of_model->generation;
    permit.probes_model = of_model->openings > 0;
    if (permit.probes_model) of_model->probed_at = now;
  }
  return permit;
}

void ProviderCircuits::OnSuccess(const CircuitKey& key, const CircuitPermit& permit) {
  Succeed(WithoutModel(key), permit.key_generation, permit.probes_key);
  Succeed(key, permit.model_generation, permit.probes_model);
}

void ProviderCircuits::OnError(const CircuitKey& key, const CircuitPermit& permit,
                               const ErrorVerdict& verdict, absl::Duration retry_after,
                               absl::Time now) {
  if (ProvesNothing(verdict.action)) return OnAbandoned(key, permit);
  const CircuitKey of_key = WithoutModel(key);
  if (verdict.action == ProviderAction::kBlockKey) {
    Fail(of_key, permit.key_generation, verdict, retry_after, now);
    EndProbe(key, permit.model_generation, permit.probes_model);
  } else {
    Fail(key, permit.model_generation, verdict, retry_after, now);
    // It may have been refused before anybody looked at the key, or the bill.
    EndProbe(of_key, permit.key_generation, permit.probes_key);
  }
}

void ProviderCircuits::OnAbandoned(const CircuitKey& key, const CircuitPermit& permit) {
  EndProbe(WithoutModel(key), permit.key_generation, permit.probes_key);
  EndProbe(key, permit.model_generation, permit.probes_model);
}

std::vector<OpenCircuit> ProviderCircuits::Open(absl::Time now) const {
  std::vector<OpenCircuit> open;
  for (const auto& [key, circuit] : circuits_) {
    if (circuit.openings == 0) continue;
    open.push_back({.of = key,
                    .reason = circuit.reason,
                    .alert = circuit.alert,
                    .half_open = now >= circuit.open_until,
                    .open_until = circuit.open_until});
  }
  return open;
}

ProviderCircuits::Circuit* ProviderCircuits::Find(const CircuitKey& key) {
  const auto found = circuits_.find(key);
  return found == circuits_.end() ? nullptr : &found->second;
}

ProviderCircuits::Circuit& ProviderCircuits::FindOrMake(const CircuitKey& key) {
  if (Circuit* circuit = Find(key)) return *circuit;
  MakeRoom();
  Circuit& circuit = circuits_[key];
  circuit.generation = 0;  // as the permits of those who asked when there was none have it
  return circuit;
}

// Forgets a circuit when there are too many: a closed one, else the one that opens again first.
void ProviderCircuits::MakeRoom() {
  if (circuits_.size() < limits_.circuits_max) return;
  const auto least =
      std::min_element(circuits_.begin(), circuits_.end(), [](const auto& a, const auto& b) {
        if ((a.second.openings == 0) != (b.second.openings == 0)) return a.second.openings == 0;
        // A key's stays as long as it can: it stands for all of its models.
        if (a.first.model.empty() != b.first.model.empty()) return b.first.model.empty();
        return a.second.open_until < b.second.open_until;
      });
  circuits_.erase(least);
}

void ProviderCircuits::Fail(const CircuitKey& key, uint64_t generation, const ErrorVerdict& verdict,
                            absl::Duration retry_after, absl::Time now) {
  const bool block = IsBlock(verdict.action);
  Circuit& circuit = FindOrMake(key);
  const bool stale = generation != circuit.generation;
  if (stale && !(block && !circuit.blocked && circuit.openings > 0)) return;
  circuit.probed_at.reset();
  if (circuit.openings == 0 && !block && verdict.action != ProviderAction::kBackOff &&
      ++circuit.failures < limits_.failures_in_a_row) {
    return;
  }
  if (block && !circuit.blocked) circuit.openings = 0;  // its own row of lengths
  if (!block && circuit.blocked) circuit.openings = 0;
  circuit.failures = 0;
  circuit.blocked = block;
  circuit.alert = verdict.alert;
  circuit.reason = verdict.reason;
  ++circuit.openings;
  const absl::Duration length =
      block ? Doubled(limits_.blocked_min, limits_.blocked_max, circuit.openings)
            : Doubled(limits_.open_min, limits_.open_max, circuit.openings);
  circuit.open_until = now + std::max(length, std::min(retry_after, limits_.retry_after_max));
  circuit.generation = ++last_generation_;
}

void ProviderCircuits::Succeed(const CircuitKey& key, uint64_t generation, bool probe) {
  Circuit* const circuit = Find(key);
  if (circuit == nullptr || circuit->generation != generation) return;
  circuit->failures = 0;
  if (!probe) return;
  *circuit = Circuit{.generation = ++last_generation_};
}

void ProviderCircuits::EndProbe(const CircuitKey& key, uint64_t generation, bool probe) {
  Circuit* const circuit = Find(key);
  if (probe && circuit != nullptr && circuit->generation == generation) circuit->probed_at.reset();
}

}  // namespace spillway
