#include "base/metrics.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/assert.h"

namespace aioss {
namespace {

bool is_name(std::string_view name, bool colon_allowed) {
  if (name.empty() || (name[0] >= '0' && name[0] <= '9')) return false;
  return std::all_of(name.begin(), name.end(), [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           (c == ':' && colon_allowed);
  });
}

void append_escaped(std::string_view text, bool quotes, std::string& out) {
  for (const char c : text) {
    if (c == '\\') {
      out += "\\\\";
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '"' && quotes) {
      out += "\\\"";
    } else {
      out += c;
    }
  }
}

// The shortest text that reads back as the same number, with the spellings of the format for the
// rest.
std::string number_text(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  char buffer[32];  // the longest shortest form of a double has 24 characters
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value);
  ASSERT(end.ec == std::errc());
  return std::string(buffer, end.ptr);
}

// `a="1",b="2"`, sorted by name: one set of labels is one series, in whatever order it was given.
std::string render_labels(Labels labels) {
  std::sort(labels.begin(), labels.end());
  std::string out;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    ASSERT(is_name(labels[i].first, false));
    ASSERT(i == 0 || labels[i].first != labels[i - 1].first);
    if (i > 0) out += ',';
    out += labels[i].first;
    out += "=\"";
    append_escaped(labels[i].second, true, out);
    out += '"';
  }
  return out;
}

void append_sample(std::string_view name, std::string_view labels, std::string_view value,
                   std::string& out) {
  out += name;
  if (!labels.empty()) {
    out += '{';
    out += labels;
    out += '}';
  }
  out += ' ';
  out += value;
  out += '\n';
}

}  // namespace

Histogram::Histogram(std::vector<double> upper_bounds)
    : upper_bounds_(std::move(upper_bounds)), buckets_(upper_bounds_.size() + 1) {
  for (std::size_t i = 0; i < upper_bounds_.size(); ++i) {
    ASSERT(std::isfinite(upper_bounds_[i]));
    ASSERT(i == 0 || upper_bounds_[i - 1] < upper_bounds_[i]);
  }
}

void Histogram::observe(double value) {
  if (std::isnan(value)) return;  // it belongs to no bucket and would spoil the sum for ever
  const auto bound = std::lower_bound(upper_bounds_.begin(), upper_bounds_.end(), value);
  const auto index = static_cast<std::size_t>(bound - upper_bounds_.begin());
  buckets_[index].fetch_add(1, std::memory_order_relaxed);
  sum_.fetch_add(value, std::memory_order_relaxed);
}

void Histogram::render(std::string_view name, const std::string& labels, std::string& out) const {
  const std::string bucket_name = std::string(name) + "_bucket";
  const std::string prefix = labels.empty() ? "le=\"" : labels + ",le=\"";
  std::uint64_t cumulative = 0;  // _count too: reading it apart could disagree with the buckets
  for (std::size_t i = 0; i < buckets_.size(); ++i) {
    cumulative += buckets_[i].load(std::memory_order_relaxed);
    const bool last = i == upper_bounds_.size();
    append_sample(bucket_name, prefix + (last ? "+Inf" : number_text(upper_bounds_[i])) + '"',
                  std::to_string(cumulative), out);
  }
  append_sample(std::string(name) + "_sum", labels,
                number_text(sum_.load(std::memory_order_relaxed)), out);
  append_sample(std::string(name) + "_count", labels, std::to_string(cumulative), out);
}

std::vector<double> latency_buckets() {
  return {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60};
}

MetricRegistry::Family& MetricRegistry::family(std::string_view name, std::string_view type,
                                               std::string_view help) {
  ASSERT(is_name(name, true));
  auto found = families_.find(name);
  if (found == families_.end()) {
    found = families_.emplace(std::string(name), Family{}).first;
    found->second.type = type;
    found->second.help = help;
  }
  ASSERT(found->second.type == type);
  return found->second;
}

Counter& MetricRegistry::counter(std::string_view name, std::string_view help, Labels labels) {
  std::lock_guard lock(mutex_);
  auto& slot = family(name, "counter", help).counters[render_labels(std::move(labels))];
  if (!slot) slot = std::make_unique<Counter>();
  return *slot;
}

Gauge& MetricRegistry::gauge(std::string_view name, std::string_view help, Labels labels) {
  std::lock_guard lock(mutex_);
  auto& slot = family(name, "gauge", help).gauges[render_labels(std::move(labels))];
  if (!slot) slot = std::make_unique<Gauge>();
  return *slot;
}

Histogram& MetricRegistry::histogram(std::string_view name, std::string_view help,
                                     std::vector<double> bounds, Labels labels) {
  std::lock_guard lock(mutex_);
  for (const auto& label : labels) ASSERT(label.first != "le");  // the format's own label
  auto& slot = family(name, "histogram", help).histograms[render_labels(std::move(labels))];
  if (!slot) slot = std::make_unique<Histogram>(std::move(bounds));
  return *slot;
}

std::string MetricRegistry::render() const {
  std::lock_guard lock(mutex_);
  std::string out;
  for (const auto& [name, family] : families_) {
    out += "# HELP " + name + ' ';
    append_escaped(family.help, false, out);
    out += "\n# TYPE " + name + ' ' + family.type + '\n';
    for (const auto& [labels, counter] : family.counters) {
      append_sample(name, labels, std::to_string(counter->value()), out);
    }
    for (const auto& [labels, gauge] : family.gauges) {
      append_sample(name, labels, number_text(gauge->value()), out);
    }
    for (const auto& [labels, histogram] : family.histograms) histogram->render(name, labels, out);
  }
  return out;
}

}  // namespace aioss
