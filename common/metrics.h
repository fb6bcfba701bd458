#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace spillway {

// Counters, gauges and histograms for /metrics, in Prometheus' text format.
//
// Names end in their unit (`_seconds`, `_bytes`) and counters in `_total`. Every label value comes
// from a bounded set: never a request id, an address or a model name that a client made up.
using MetricLabels = std::map<std::string, std::string>;

class Counter {
 public:
  virtual ~Counter() = default;
  virtual void Add(double amount = 1) = 0;  // Requires amount >= 0.
};
class Gauge {
 public:
  virtual ~Gauge() = default;
  virtual void Set(double value) = 0;
  virtual void Add(double amount) = 0;
};
class Histogram {
 public:
  virtual ~Histogram() = default;
  virtual void Observe(double value) = 0;
};

// Owns all metrics of a process. Thread-safe, as are the metrics. What it returns lives as long as
// the registry; asking twice for one name and labels gives the same object.
class MetricRegistry {
 public:
  MetricRegistry();
  ~MetricRegistry();

  Counter& GetCounter(std::string_view name, std::string_view help,
                      const MetricLabels& labels = {});
  Gauge& GetGauge(std::string_view name, std::string_view help, const MetricLabels& labels = {});
  Histogram& GetHistogram(std::string_view name, std::string_view help,
                          const std::vector<double>& bucket_bounds,
                          const MetricLabels& labels = {});

  // Everything in the text exposition format 0.0.4.
  std::string Scrape() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace spillway
