#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "common/clock.h"
#include "router/provider_set.h"
#include "server/http/http_pool.h"

namespace spillway {

// A model of a provider's, as GET /v1/models lists it.
struct ProviderModel {
  std::string id;        // what clients call it
  std::string provider;  // its name
  std::string json;      // the provider's own entry; empty: it is a name of a map
};

// Which models the providers have: the names of their maps; of a provider that takes any name,
// what it lists itself, as it was a moment ago. Of one thread.
class ProviderModels {
 public:
  static constexpr absl::Duration kFreshFor = absl::Seconds(30);
  static constexpr absl::Duration kAnswerMax = absl::Seconds(5);
  static constexpr size_t kListBytesMax = 4u << 20;
  static constexpr size_t kModelsMax = 4096;  // of one provider; more are not listed

  // All must outlive it.
  ProviderModels(const ProviderSet& providers, const std::vector<HttpPool*>& pools,
                 const Clock& clock)
      : providers_(providers), pools_(pools), clock_(clock), lists_(providers.size()) {}

  // Those known now, each name once, in the providers' order.
  std::vector<ProviderModel> Known() const;

  // A look at the providers whose lists are not fresh. Destroying it gives it up; what has come
  // stays.
  class Look {
   public:
    virtual ~Look() = default;
    // Ends it at its time; call then, or more often.
    virtual void Tick() = 0;
  };
  // Null: all that can be known is known already. Else `done` is called once, not from within.
  std::unique_ptr<Look> Begin(std::function<void()> done);

 private:
  class LookImpl;
  struct List {
    std::vector<ProviderModel> models;
    absl::Time read_at = absl::InfinitePast();
  };

  const ProviderSet& providers_;
  const std::vector<HttpPool*>& pools_;
  const Clock& clock_;
  std::vector<List> lists_;
};

// The entries of an answer to GET /models. Empty: it is none.
std::vector<ProviderModel> ReadModelList(std::string_view body, const std::string& provider);

}  // namespace spillway
