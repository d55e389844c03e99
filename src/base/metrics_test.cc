#include "base/metrics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <thread>

namespace aioss {
namespace {

// The whole page, byte for byte: order, escaping, cumulative buckets, number formats.
TEST(Metrics, GoldenPage) {
  MetricRegistry registry;
  registry.gauge("aioss_z_temperature", "Last in the page.").set(-0.5);
  registry
      .counter("aioss_requests_total", "Requests by route.",
               {{"route", "/v1/models"}, {"code", "200"}})
      .add(3);
  registry
      .counter("aioss_requests_total", "Requests by route.",
               {{"code", "200"}, {"route", "/health"}})
      .add();
  // The same series in another order of labels.
  registry
      .counter("aioss_requests_total", "Requests by route.",
               {{"code", "200"}, {"route", "/v1/models"}})
      .add(2);
  registry.counter("aioss_big_total", "Above 2^53.").add(18446744073709551615U);
  registry.gauge("aioss_info", "A \"help\" with \\ and\na line feed.", {{"model", "a\"b\\c\nd"}})
      .set(1);
  Histogram& waits =
      registry.histogram("aioss_wait_seconds", "Waiting.", {0.001, 0.5, 10}, {{"model", "m"}});
  for (const double value : {0.001, 0.25, 0.5, 3.0, 100.0}) waits.observe(value);
  Histogram& bare = registry.histogram("aioss_bare_seconds", "No labels.", {1});
  bare.observe(2);

  EXPECT_EQ(registry.render(), R"(# HELP aioss_bare_seconds No labels.
# TYPE aioss_bare_seconds histogram
aioss_bare_seconds_bucket{le="1"} 0
aioss_bare_seconds_bucket{le="+Inf"} 1
aioss_bare_seconds_sum 2
aioss_bare_seconds_count 1
# HELP aioss_big_total Above 2^53.
# TYPE aioss_big_total counter
aioss_big_total 18446744073709551615
# HELP aioss_info A "help" with \\ and\na line feed.
# TYPE aioss_info gauge
aioss_info{model="a\"b\\c\nd"} 1
# HELP aioss_requests_total Requests by route.
# TYPE aioss_requests_total counter
aioss_requests_total{code="200",route="/health"} 1
aioss_requests_total{code="200",route="/v1/models"} 5
# HELP aioss_wait_seconds Waiting.
# TYPE aioss_wait_seconds histogram
aioss_wait_seconds_bucket{model="m",le="0.001"} 1
aioss_wait_seconds_bucket{model="m",le="0.5"} 3
aioss_wait_seconds_bucket{model="m",le="10"} 4
aioss_wait_seconds_bucket{model="m",le="+Inf"} 5
aioss_wait_seconds_sum{model="m"} 103.751
aioss_wait_seconds_count{model="m"} 5
# HELP aioss_z_temperature Last in the page.
# TYPE aioss_z_temperature gauge
aioss_z_temperature -0.5
)");
}

TEST(Metrics, SpecialNumbersHaveTheFormatsOwnSpelling) {
  MetricRegistry registry;
  registry.gauge("a", "x").set(std::numeric_limits<double>::infinity());
  registry.gauge("b", "x").set(-std::numeric_limits<double>::infinity());
  registry.gauge("c", "x").set(std::nan(""));
  const std::string page = registry.render();
  EXPECT_NE(page.find("\na +Inf\n"), std::string::npos);
  EXPECT_NE(page.find("\nb -Inf\n"), std::string::npos);
  EXPECT_NE(page.find("\nc NaN\n"), std::string::npos);
}

TEST(Metrics, NotANumberDoesNotSpoilAHistogram) {
  MetricRegistry registry;
  Histogram& histogram = registry.histogram("h", "x", {1});
  histogram.observe(std::nan(""));
  histogram.observe(0.5);
  EXPECT_NE(registry.render().find("h_sum 0.5\nh_count 1\n"), std::string::npos);
}

TEST(Metrics, CountersLoseNothingBetweenThreads) {
  MetricRegistry registry;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 1000; ++i) {
        registry.counter("c", "x", {{"k", "v"}}).add();
        registry.histogram("h", "x", {1}).observe(0.5);
        if (i % 100 == 0) (void)registry.render();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(registry.counter("c", "x", {{"k", "v"}}).value(), 4000u);
  EXPECT_NE(registry.render().find("h_sum 2000\nh_count 4000\n"), std::string::npos);
}

TEST(Metrics, LatencyBucketsGoFromAMillisecondToAMinute) {
  const std::vector<double> bounds = latency_buckets();
  EXPECT_EQ(bounds.front(), 0.001);
  EXPECT_EQ(bounds.back(), 60);
  for (std::size_t i = 1; i < bounds.size(); ++i) EXPECT_LT(bounds[i - 1], bounds[i]);
}

TEST(MetricsDeathTest, MisuseIsABug) {
  MetricRegistry registry;
  registry.counter("c", "x");
  EXPECT_DEATH(registry.gauge("c", "x"), "internal error");
  EXPECT_DEATH(registry.counter("9c", "x"), "internal error");
  EXPECT_DEATH(registry.counter("d", "x", {{"a", "1"}, {"a", "2"}}), "internal error");
  EXPECT_DEATH(registry.counter("d", "x", {{"a-b", "1"}}), "internal error");
  EXPECT_DEATH(registry.histogram("h", "x", {2, 1}), "internal error");
  EXPECT_DEATH(registry.histogram("h", "x", {1, 1}), "internal error");
  EXPECT_DEATH(registry.histogram("h", "x", {1}, {{"le", "1"}}), "internal error");
}

}  // namespace
}  // namespace aioss
