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
  explicit PrometheusGauge(prometheus::Gauge& gauge) : gauge_(gauge) {}
  void Set(double value) override { gauge_.Set(value); }
  void Add(double amount) override { gauge_.Increment(amount); }

 private:
  prometheus::Gauge& gauge_;
};

class PrometheusHistogram : public Histogram {
 public:
  explicit PrometheusHistogram(prometheus::Histogram& histogram) : histogram_(histogram) {}
  void Observe(double value) override { histogram_.Observe(value); }

 private:
  prometheus::Histogram& histogram_;
};

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
                                                 .Register(impl_->registry_)
                                                 .Add(labels));
  });
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

std::string MetricRegistry::Scrape() const {
  return prometheus::TextSerializer().Serialize(impl_->registry_.Collect());
}

}  // namespace spillway
