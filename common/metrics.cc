#include "common/metrics.h"

#include <map>
#include <utility>

#include "common/mutex.h"
#include "prometheus/counter.h"
#include "prometheus/gauge.h"
#include "prometheus/histogram.h"
#include "prometheus/registry.h"
#include "prometheus/text_serializer.h"

namespace spillway {
namespace {

class PrometheusCounter : public Counter {
 public:
  explicit PrometheusCounter(prometheus::Counter& counter) : counter_(counter) {}
  void Add(double amount) override { counter_.Increment(amount); }

 private:
  prometheus::Counter& counter_;
};

class PrometheusGauge : public Gauge {
 public:
  PrometheusGauge(prometheus::Family<prometheus::Gauge>& family, const MetricLabels& labels)
      : family_(family), gauge_(family.Add(labels)) {}
  ~PrometheusGauge() override { family_.Remove(&gauge_); }
  void Set(double value) override { gauge_.Set(value); }
  void Add(double amount) override { gauge_.Increment(amount); }

 private:
  prometheus::Family<prometheus::Gauge>& family_;
  prometheus::Gauge& gauge_;
};

class PrometheusHistogram : public Histogram {
 public:
  explicit PrometheusHistogram(prometheus::Histogram& histogram) : histogram_(histogram) {}
  void Observe(double value) override { histogram_.Observe(value); }
  void ObserveCounts(const std::vector<double>& counts, double sum) override {
    histogram_.ObserveMultiple(counts, sum);
  }

 private:
  prometheus::Histogram& histogram_;
};

// A copy of `family` under the alias.
prometheus::MetricFamily Rename(const prometheus::MetricFamily& family, const MetricAlias& alias) {
  prometheus::MetricFamily renamed = family;
  renamed.name = alias.alias;
  renamed.help = alias.help;
  for (prometheus::ClientMetric& metric : renamed.metric) {
    MetricLabels labels = alias.labels;
    for (const prometheus::ClientMetric::Label& label : metric.label) {
      const auto found = alias.label_names.find(label.name);
      if (found != alias.label_names.end()) labels[found->second] = label.value;
    }
    metric.label.clear();
    for (const auto& [name, value] : labels) metric.label.push_back({name, value});
  }
  return renamed;
}

}  // namespace

class MetricRegistry::Impl {
 public:
  // The wrapper of one metric, made at its first mention.
  template <typename Wrapper, typename Make>
  Wrapper& Find(std::map<std::pair<std::string, MetricLabels>, std::unique_ptr<Wrapper>>& wrappers,
                std::string_view name, const MetricLabels& labels, Make make) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    std::unique_ptr<Wrapper>& wrapper = wrappers[{std::string(name), labels}];
    if (wrapper == nullptr) wrapper = make();
    return *wrapper;
  }

  prometheus::Registry registry_;
  Mutex mutex_;
  std::map<std::pair<std::string, MetricLabels>, std::unique_ptr<PrometheusCounter>> counters_;
  std::map<std::pair<std::string, MetricLabels>, std::unique_ptr<PrometheusGauge>> gauges_;
  std::map<std::pair<std::string, MetricLabels>, std::unique_ptr<PrometheusHistogram>> histograms_;
  std::vector<MetricAlias> aliases_ GUARDED_BY(mutex_);
};

MetricRegistry::MetricRegistry() : impl_(std::make_unique<Impl>()) {}
MetricRegistry::~MetricRegistry() = default;

Counter& MetricRegistry::GetCounter(std::string_view name, std::string_view help,
                                    const MetricLabels& labels) {
  return impl_->Find(impl_->counters_, name, labels, [&] {
    return std::make_unique<PrometheusCounter>(prometheus::BuildCounter()
                                                   .Name(std::string(name))
                                                   .Help(std::string(help))
                                                   .Register(impl_->registry_)
                                                   .Add(labels));
  });
}

Gauge& MetricRegistry::GetGauge(std::string_view name, std::string_view help,
                                const MetricLabels& labels) {
  return impl_->Find(impl_->gauges_, name, labels, [&] {
    return std::make_unique<PrometheusGauge>(prometheus::BuildGauge()
                                                 .Name(std::string(name))
                                                 .Help(std::string(help))
                                                 .Register(impl_->registry_),
                                             labels);
  });
}

void MetricRegistry::RemoveGauge(std::string_view name, const MetricLabels& labels) {
  MutexLock lock(impl_->mutex_);
  impl_->gauges_.erase({std::string(name), labels});
}

Histogram& MetricRegistry::GetHistogram(std::string_view name, std::string_view help,
                                        const std::vector<double>& bucket_bounds,
                                        const MetricLabels& labels) {
  return impl_->Find(impl_->histograms_, name, labels, [&] {
    return std::make_unique<PrometheusHistogram>(prometheus::BuildHistogram()
                                                     .Name(std::string(name))
                                                     .Help(std::string(help))
                                                     .Register(impl_->registry_)
                                                     .Add(labels, bucket_bounds));
  });
}

void MetricRegistry::AddAlias(MetricAlias alias) {
  MutexLock lock(impl_->mutex_);
  impl_->aliases_.push_back(std::move(alias));
}

std::string MetricRegistry::Scrape() const {
  std::vector<prometheus::MetricFamily> families = impl_->registry_.Collect();
  MutexLock lock(impl_->mutex_);
  std::vector<prometheus::MetricFamily> renamed;
  for (const MetricAlias& alias : impl_->aliases_) {
    for (const prometheus::MetricFamily& family : families) {
      if (family.name == alias.name) renamed.push_back(Rename(family, alias));
    }
  }
  families.insert(families.end(), renamed.begin(), renamed.end());
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace spillway
